"""One page about finished runs: what was gained, where, and what to try next."""

from mmkd.reporting.report import report

__all__ = ['report']
