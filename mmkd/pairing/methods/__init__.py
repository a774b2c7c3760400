"""The distillation methods, each fitted to a pair of models."""
