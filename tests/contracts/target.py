"""What every target must do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import Target, get_target
from edgedeblur.export.verify import ParityError, round_to_output
from edgedeblur.models.checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.runtimes.artifact import Manifest, read_manifest
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.files import sha256_of, size_of
from edgedeblur.runtimes.registry import open_runner

from .support import SIZE, pytorch, spec_for

assert EMBED_KEY == "edgedeblur.manifest"  # other programs read artifacts by this key


class TargetContract:
    """Subclasses set ``target_name``; everything else follows from the registry."""

    target_name: str
    embedded = True

    @pytest.fixture(scope="class")
    def target(self) -> Target:
        return get_target(self.target_name)

    @pytest.fixture(scope="class")
    def checkpoint(self) -> Checkpoint:
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def built(self, target, checkpoint, tmp_path_factory) -> tuple[Path, Manifest]:
        path = tmp_path_factory.mktemp("built") / f"net{target.suffix}"
        spec = spec_for(target)
        return path, produce(target, checkpoint, spec, path, norm="frozen", threads=2)

    def opened(self, path: Path) -> Runner:
        """The runner that runs the artifact, or its stand-in, on this machine."""
        return open_runner(path)

    def embedded_text(self, path: Path) -> str:
        raise NotImplementedError

    def test_manifest_describes_the_file(self, built, target, checkpoint):
        path, manifest = built
        assert read_manifest(path) == manifest
        assert manifest.target == target.name
        assert manifest.bytes == size_of(path)
        assert manifest.checkpoint.sha256 == checkpoint.sha256
        assert manifest.input.size == manifest.output.size == SIZE
        assert (manifest.norm, manifest.receptive_radius_px) == ("frozen", 283)
        assert manifest.macs == conv_macs(generator_from(checkpoint), SIZE)
        assert set(manifest.tools) >= {"edgedeblur", "torch"}
        assert sorted(p.name for p in path.parent.iterdir()) == [path.name, path.name + ".json"]

    def test_parity_was_measured_and_holds(self, built, target, checkpoint, image):
        path, manifest = built
        parity = manifest.parity
        assert parity is not None
        assert parity.pictures >= 4
        assert parity.worst_psnr_db >= target.tolerance_psnr_db
        with self.opened(path) as runner:
            output = runner.infer(image)
        expected = round_to_output(pytorch(checkpoint, image), manifest.output)
        level = 2.01 / 255 if manifest.output.dtype == "uint8" else 0.0
        assert np.abs(output - expected).max() <= 10 * parity.max_abs + level

    def test_embedded_manifest_tells_the_same(self, built, target):
        path, manifest = built
        if not self.embedded:
            return
        inside = Manifest.from_dict(json.loads(self.embedded_text(path)), origin="inside")
        same = dataclasses.replace(manifest, bytes=0, sha256="", parity=None, quantisation=None)
        assert inside == same

    def test_free_size_takes_any_multiple(self, target, checkpoint, tmp_path, photo):
        if not target.free_size:
            pytest.skip(f"{target.name} has a fixed size")
        path = tmp_path / f"free{target.suffix}"
        spec = spec_for(target, dynamic=True)
        manifest = produce(target, checkpoint, spec, path, norm="frozen", threads=2)
        assert manifest.input.size is None
        with self.opened(path) as runner:
            for height, width in ((32, 32), (32, 96), (160, 64)):
                corner = photo[:height, :width].transpose(2, 0, 1)[None]
                x = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
                difference = np.abs(runner.infer(x) - pytorch(checkpoint, x)).max()
                assert difference <= 10 * manifest.parity.max_abs

    def test_scrambled_weights_are_caught(self, target, checkpoint, tmp_path):
        def convert(graph, spec, path):
            with torch.no_grad():
                for parameter in graph.module.parameters():
                    parameter.copy_(parameter.flatten().roll(1).reshape(parameter.shape))
            return target.convert(graph, spec, path)

        self.expect_refusal(dataclasses.replace(target, convert=convert), checkpoint, tmp_path)

    def test_nan_weights_are_caught(self, target, checkpoint, tmp_path):
        def convert(graph, spec, path):
            with torch.no_grad():
                next(graph.module.final.parameters()).fill_(torch.nan)
            return target.convert(graph, spec, path)

        self.expect_refusal(dataclasses.replace(target, convert=convert), checkpoint, tmp_path)

    def expect_refusal(self, target, checkpoint, tmp_path):
        path = tmp_path / f"bad{target.suffix}"
        with pytest.raises((ParityError, ValueError), match=r"differs from PyTorch|NaN"):
            produce(target, checkpoint, spec_for(target), path, norm="frozen")
        assert list(tmp_path.iterdir()) == []

    def test_existing_artifact_stays_without_force(self, built, target, checkpoint):
        path, _ = built
        before = sha256_of(path)
        with pytest.raises(FileExistsError, match="exists already; choose another name or add --f"):
            produce(target, checkpoint, spec_for(target), path, norm="frozen")
        assert sha256_of(path) == before

    def test_failing_convert_keeps_the_old_artifact(self, built, target, checkpoint):
        def convert(_graph, _spec, path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        path, manifest = built
        full = dataclasses.replace(target, convert=convert)
        with pytest.raises(OSError, match="No space left on device"):
            produce(full, checkpoint, spec_for(target), path, norm="frozen", force=True)
        assert read_manifest(path) == manifest
