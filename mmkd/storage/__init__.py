"""Files of a run: checkpoints that are read safely, and writes that are whole or absent."""
