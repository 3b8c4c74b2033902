"""Turns a checkpoint into an artifact with a manifest, and proves that the two agree."""
