"""Losses between the predictions of detection heads."""
