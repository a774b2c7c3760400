"""Tables, curves and pictures of finished runs."""

from mmkd.analysis.curves import plot_curves
from mmkd.analysis.detections import draw_detections
from mmkd.analysis.results import Run, read_run
from mmkd.analysis.summary_table import summarize, to_markdown

__all__ = ['Run', 'draw_detections', 'plot_curves', 'read_run', 'summarize', 'to_markdown']
