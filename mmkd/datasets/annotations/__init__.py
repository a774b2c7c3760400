"""Annotation files: reading, checking, splitting."""
