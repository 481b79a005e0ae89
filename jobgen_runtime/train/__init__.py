"""The training: its config, its log, its checkpoints and what goes wrong in it."""
