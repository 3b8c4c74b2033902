"""TensorRT: opens and runs engines on NVIDIA GPUs."""
