"""Files of a run: safe reading of checkpoints, atomic writing."""
