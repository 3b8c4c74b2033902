"""Flicker: how much a clip's frames change where nothing moved, beside the input and PyTorch."""
