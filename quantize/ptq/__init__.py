"""Post-training quantisation of ONNX, TFLite and Core ML models."""
