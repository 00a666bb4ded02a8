"""Data: videos to frame pairs, frame pairs to batches, image files to arrays."""
