"""Two models side by side: what they return, the methods that fit, and the config for both."""

from mmkd.pairing.inspection.image_size import default_size, image_size, padded_size
from mmkd.pairing.inspection.module_table import side_by_side
from mmkd.pairing.inspection.trace import Calls, Output, Size, trace

__all__ = [
    'Calls',
    'Output',
    'Size',
    'default_size',
    'image_size',
    'padded_size',
    'side_by_side',
    'trace',
]
