"""How two networks differ: the figures of the papers for any teacher and students."""

from mmkd.studies.analyzing import analyze

__all__ = ['analyze']
