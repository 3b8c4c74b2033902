"""Checkpoints that ship with the package; each has a model card beside it."""
