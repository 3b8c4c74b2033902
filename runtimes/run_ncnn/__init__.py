"""ncnn: the runner and the reader of its files."""
