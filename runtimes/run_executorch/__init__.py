"""ExecuTorch: the runner."""
