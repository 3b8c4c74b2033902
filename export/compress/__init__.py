"""``deblur-compress``: a narrower network under a measured latency budget, and its fine-tuning."""
