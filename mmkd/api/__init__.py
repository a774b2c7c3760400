"""The main job as Python calls: plan a distillation, and run it."""
