"""Checks of configs before anything is built: errors name the setting and its remedy."""
