"""Core ML targets."""
