"""ncnn: the converter."""
