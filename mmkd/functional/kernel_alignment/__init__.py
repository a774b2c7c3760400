"""Centered kernel alignment of rows and of patches."""
