"""Training objectives: losses and discriminators."""
