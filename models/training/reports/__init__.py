"""What a training run shows: TensorBoard, curves, and scores on the validation pictures."""
