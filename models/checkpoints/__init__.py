"""Weights on disk: safe reading, writing, downloads by pinned hash, the shipped zoo."""
