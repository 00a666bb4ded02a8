"""Training: objectives, step, schedule, checkpoints, log."""
