"""Training loops."""

from mmkd.loops.unlabelled_train_loop import UnlabelledTrainLoop

__all__ = ['UnlabelledTrainLoop']
