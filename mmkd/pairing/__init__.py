"""Teacher and student side by side: what they return, what fits, and a config that pairs them."""

from mmkd.pairing.inspection.image_size import default_size
from mmkd.pairing.inspection.module_table import side_by_side
from mmkd.pairing.inspection.trace import Calls, Output, Size, trace

__all__ = ['Calls', 'Output', 'Size', 'default_size', 'side_by_side', 'trace']
