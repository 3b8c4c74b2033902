"""The DeblurGAN-v2 generators in PyTorch: network, norms, checkpoints, data, shipped weights."""
