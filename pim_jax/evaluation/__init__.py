"""Evaluation: comparing image files."""
