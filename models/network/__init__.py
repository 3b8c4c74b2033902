"""The generator: feature pyramid, backbones, norms, operation counts, receptive field."""
