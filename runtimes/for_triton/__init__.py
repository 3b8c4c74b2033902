"""What runs inside a Triton Inference Server, in its Python backend."""
