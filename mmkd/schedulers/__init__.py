"""Schedulers of the learning rate."""

from mmkd.schedulers.alrs import ALRS

__all__ = ['ALRS']
