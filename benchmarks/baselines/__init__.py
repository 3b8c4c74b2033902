"""What artifacts are compared with: reference PyTorch, stock exports, PyTorch on CUDA."""
