"""Teacher and student side by side: what they return, what fits, and a config that pairs them."""

from mmkd.pairing.image_size import default_size
from mmkd.pairing.table import side_by_side
from mmkd.pairing.trace import Calls, Output, Size, trace

__all__ = ['Calls', 'Output', 'Size', 'default_size', 'side_by_side', 'trace']
