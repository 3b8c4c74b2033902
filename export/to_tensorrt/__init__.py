"""TensorRT targets."""
