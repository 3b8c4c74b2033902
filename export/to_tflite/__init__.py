"""TFLite targets."""
