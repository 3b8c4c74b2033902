"""Quantisation: recipes, calibration, sensitivity and quantisation-aware training."""
