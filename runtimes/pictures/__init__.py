"""Pictures: reading, writing, metadata, tiling, and batches of files."""
