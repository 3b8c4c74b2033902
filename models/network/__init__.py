"""The generator: feature pyramid, backbones, norms, and what is counted of them."""
