"""What the Core ML target tests share."""

from __future__ import annotations

import dataclasses
import sys

from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import EMBED_KEY
from edgedeblur.export.registry import get_target
from edgedeblur.runtimes.run_coreml.interpreter import load_spec

from tests.contracts import SIZE, TargetContract, spec_for

ON_A_MAC = sys.platform == "darwin"


def spec_of(name="coreml-fp16", size=SIZE, **options) -> ExportSpec:
    spec = spec_for(get_target(name), size=size)
    return dataclasses.replace(spec, options={**spec.options, **options})


class CoremlContract(TargetContract):
    def embedded_text(self, path):
        return load_spec(path).description.metadata.userDefined[EMBED_KEY]

    def test_emulated_results_are_labelled(self, built):
        parity = built[1].parity
        assert parity.emulated is not ON_A_MAC
        assert parity.ran_on.startswith("CoremlRunner: cpu, 2 threads, ")
        assert ("emulated" in parity.ran_on) is not ON_A_MAC

    def test_takes_and_gives_rgb_pixels(self, built):
        path, manifest = built
        description = load_spec(path).description
        for feature, name in (
            (description.input[0], "image"),
            (description.output[0], "deblurred"),
        ):
            assert feature.name == name
            image = feature.type.imageType
            assert (image.height, image.width) == SIZE
            assert image.ColorSpace.Name(image.colorSpace) == "RGB"
            assert "RGB picture, 8 bits per channel, upright, 64 high and 96 w" in (
                feature.shortDescription
            )
        taken = manifest.input
        assert (taken.shape, taken.dtype, taken.layout) == ((1, *SIZE, 3), "uint8", "NHWC")
        assert taken.value_range == (0.0, 255.0)
