"""Training: objectives, the step, checkpoints, several processes, the log, and how a run stands."""
