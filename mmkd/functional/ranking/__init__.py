"""Soft ranks, and the correlations built on them."""
