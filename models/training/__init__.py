"""Fine-tuning and training from scratch: losses, discriminators, data, the trainer, its command."""
