"""Backbones of the feature pyramid, one file each; `network.registry` finds them by name."""
