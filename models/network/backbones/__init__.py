"""Backbones of the feature pyramid, one file each; `models.registry` finds them by file name."""
