"""Roots in which no layout fits."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .layouts.support import touch


def test_unknown_roots(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such dataset"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no known layout") as caught:
        find_pairs(tmp_path)
    for word in ("GOPRO_Large", "{input,target}", "{lq,gt}", "DVD", "Kohler", "RealBlur"):
        assert word in str(caught.value)
    with pytest.raises(ValueError, match="subset 'sharp' is unknown; choose one of blur, blur_gam"):
        find_pairs(tmp_path, subset="sharp")
    touch(tmp_path, "input/1.png", "target/1.png")
    with pytest.raises(ValueError, match="'blur_gamma' exists in GOPRO_Large only"):
        find_pairs(tmp_path, subset="blur_gamma")
