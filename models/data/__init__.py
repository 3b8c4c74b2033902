"""Paired data: layouts on disk, blur synthesis, aligned crops. numpy and cv2 only."""

from .blur import (
    GAMMA,
    Shake,
    add_noise_and_jpeg,
    average_frame_folder,
    average_frames,
    blur_with_kernel,
    kernel_from_trajectory,
    random_kernel,
    trajectory,
)
from .crops import aligned_crops, random_crop_pair
from .pairs import Pair, PairSet, pair_folders
from .registry import find_pairs

__all__ = [
    "GAMMA",
    "Pair",
    "PairSet",
    "Shake",
    "add_noise_and_jpeg",
    "aligned_crops",
    "average_frame_folder",
    "average_frames",
    "blur_with_kernel",
    "find_pairs",
    "kernel_from_trajectory",
    "pair_folders",
    "random_crop_pair",
    "random_kernel",
    "trajectory",
]
