"""What a training step minimises: losses and discriminators."""
