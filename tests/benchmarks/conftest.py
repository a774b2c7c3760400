"""Fixtures of the tests that run scripts."""

from script_fixtures import script, trained_here

__all__ = ['script', 'trained_here']
