"""One page about finished runs: what was gained, where, and what to try next."""

from mmkd.reporting.html_report import report

__all__ = ['report']
