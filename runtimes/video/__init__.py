"""Clips: reading, deblurring frame by frame in a pipeline, writing in segments, image sequences."""
