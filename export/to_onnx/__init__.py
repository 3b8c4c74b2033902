"""ONNX targets."""
