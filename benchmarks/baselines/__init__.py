"""Baselines of artifacts: reference PyTorch, stock exports, PyTorch on CUDA."""
