"""Training loops."""

from mmkd.loops.unlabeled_train_loop import UnlabeledTrainLoop

__all__ = ['UnlabeledTrainLoop']
