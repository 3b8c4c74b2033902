"""Core ML: runs packages on a Mac, and emulates them elsewhere."""
