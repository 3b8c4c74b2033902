"""Core ML: runs packages on a Mac, and interprets them elsewhere."""
