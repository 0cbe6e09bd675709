"""The Brain, the blockwise schedule, checkpoints and experiments."""
