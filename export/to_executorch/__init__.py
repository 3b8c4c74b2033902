"""ExecuTorch: the converter, its backends and its quantisation."""
