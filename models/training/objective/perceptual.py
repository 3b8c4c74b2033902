"""Perceptual loss on VGG19 features (Johnson et al. 2016; DeblurGAN section 3.1, equation 5).

The weights are torchvision's ``vgg19-dcbb9e9d.pth`` (IMAGENET1K_V1), 575 MB, and are not shipped.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checkpoints.sources import cache_folder

# VGG19 (Simonyan and Zisserman 2015, table 1, column E) up to conv3_3: channels, "M" = max pool.
_LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256)
ADDRESS = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
# torchvision pins its files by the first digits of their SHA-256, which their names carry.
SHA256_PREFIX = "dcbb9e9d"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as VGG was trained


class PerceptualLoss(nn.Module):
    """Mean squared difference of VGG19's conv3_3 features after their ReLU.

    Args:
        weights: torchvision's VGG19 file, or any state dict with its names.

    Raises:
        FileNotFoundError, ValueError: see `load_vgg`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.features = load_vgg(weights)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).reshape(1, 3, 1, 1))

    def forward(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """Two (N, 3, H, W) in [-1, 1] -> a scalar; no gradient reaches `sharp`."""
        with torch.no_grad():
            wanted = self._features(sharp)
        return F.mse_loss(self._features(restored), wanted)

    def _features(self, image: Tensor) -> Tensor:
        normalised = ((image + 1) / 2 - self.mean) / self.std
        return cast("Tensor", self.features(normalised))


def vgg_features() -> nn.Sequential:
    """VGG19's layers up to conv3_3's ReLU, with torchvision's indices (`features.14`)."""
    layers: list[nn.Module] = []
    channels_in = 3
    for width in _LAYERS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels_in, width, 3, padding=1), nn.ReLU()]
            channels_in = width
    return nn.Sequential(*layers)


def load_vgg(weights: Path) -> nn.Sequential:
    """The features with weights from a file, frozen.

    Raises:
        FileNotFoundError: no such file; the message names both ways out.
        ValueError: not VGG19's weights.
    """
    if not weights.is_file():
        raise FileNotFoundError(
            f"{weights}: no VGG19 weights here, and the perceptual loss needs them; download "
            f"{ADDRESS} and give its path with --vgg, use --vgg download, or switch the loss off "
            "with --set loss.perceptual=0"
        )
    features = vgg_features()
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        wanted = {f"features.{name}" for name in features.state_dict()}
        features.load_state_dict(
            {name.removeprefix("features."): state[name] for name in sorted(wanted)}
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ValueError(f"{weights}: not torchvision's VGG19 weights ({first})") from error
    return features.requires_grad_(False).eval()


def find_vgg(choice: str, *, address: str = ADDRESS) -> Path:
    """The path behind ``--vgg``: a file, or ``download`` into the cache folder.

    Raises:
        OSError: the download failed, or what arrived is not the pinned file.
    """
    if choice != "download":
        return Path(choice)
    target = cache_folder() / Path(ADDRESS).name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Writes beside the target, checks the hash, renames.
        torch.hub.download_url_to_file(address, str(target), hash_prefix=SHA256_PREFIX)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"could not download {target.name} from {address}: {error}. Fetch it by hand and give "
            "its path with --vgg"
        ) from error
    return target
