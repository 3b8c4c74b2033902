"""``coreml-fp16`` and what both Core ML targets share: norms, sizes, rewrites and options."""

from __future__ import annotations

import dataclasses
import json
import tempfile

import numpy as np
import pytest
import torch
from edgedeblur.export.arguments import build_parser
from edgedeblur.export.cli import main
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.to_coreml.model import expected_package, scratch_folder, to_model
from edgedeblur.export.to_coreml.package import check_package, main_block, share_constants
from edgedeblur.export.to_coreml.target import convert_fp16
from edgedeblur.export.verify import ParityError, measure_parity
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.pictures.sample_inputs import load_sample_inputs
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_coreml.interpreter import MODEL_FILE, MilProgram, load_spec, quiet
from edgedeblur.runtimes.run_coreml.runner import CoremlRunner

from tests.contracts import SIZE, pytorch
from tests.export.to_coreml.support import ON_A_MAC, CoremlContract, spec_of

pytest.importorskip(
    "coremltools", reason="coremltools is not installed: pip install -e '.[coreml]'"
)

# What the Neural Engine is known to take (README); all else would be worth a look.
FRIENDLY = {
    "add", "cast", "clip", "concat", "conv", "conv_transpose", "mul", "pixel_shuffle", "relu",
    "round", "slice_by_index", "sub", "tanh", "upsample_nearest_neighbor",
}  # fmt: skip


class TestCoremlFp16(CoremlContract):
    target_name = "coreml-fp16"

    def test_export_is_repeatable_silent_and_leaves_nothing(
        self, built, checkpoint, tmp_path, monkeypatch, capfd
    ):
        path, manifest = built
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        spec = dataclasses.replace(spec_of(), embed={EMBED_KEY: self.embedded_text(path)})
        again = tmp_path / "again.mlpackage"
        convert_fp16(prepare(checkpoint, norm="frozen"), spec, again)
        assert sha256_of(again) == manifest.sha256
        assert list(folder.iterdir()) == []
        assert capfd.readouterr() == ("", "")
        text = (again / MODEL_FILE).read_bytes()
        assert not any(word in text for word in (str(tmp_path).encode(), b"site-packages"))

    def test_program_is_half_precision_and_folded(self, built):
        path, manifest = built
        spec = load_spec(path)
        assert spec.specificationVersion == 7  # iOS 16
        kinds = MilProgram(path).kinds
        assert set(kinds) <= FRIENDLY
        assert kinds.count("conv") == 78
        assert kinds.count("cast") == 2  # pixels come and go as float32, nothing else is
        assert manifest.bytes <= 0.55 * 4 * manifest.params

    def test_metadata(self, built, checkpoint):
        metadata = load_spec(built[0]).description.metadata
        assert metadata.author == "edgedeblur"
        assert metadata.license == "Apache-2.0"
        assert "DeblurGAN-v2 generator (mobilenet_dsc; Kupyn" in metadata.shortDescription
        assert metadata.userDefined["edgedeblur.compute_units"] == "all"
        assert not any("date" in key for key in metadata.userDefined)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"ios": "15"}, "has specification 7; iOS 15 reads up to 6"),
            ({"pictures": False}, "image is imageType, not multiArrayType"),
            ({"sizes": ((96, 64),)}, r"pictures are 64x96 of 64x96, not 96x64 of 96x64 \(HxW\)"),
            ({"int8_weights": 3}, "0 weights are stored in 8 bits, 3 were to be"),
        ],
    )
    def test_structure_is_checked(self, built, checkpoint, changes, message):
        wanted = expected_package(prepare(checkpoint, norm="frozen"), spec_of())
        check_package(built[0], wanted)
        with pytest.raises(ValueError, match=message):
            check_package(built[0], dataclasses.replace(wanted, **changes))

    def test_small_constants_are_shared(self, built):
        spec = load_spec(built[0])
        before = len(main_block(spec).operations)
        values = [
            op.attributes["val"].SerializeToString(deterministic=True)
            for op in main_block(spec).operations
            if op.type == "const" and op.attributes["val"].HasField("immediateValue")
        ]
        assert len(values) == len(set(values))
        share_constants(spec)
        assert len(main_block(spec).operations) == before


@pytest.fixture(scope="module")
def dsc():
    return load_checkpoint("zoo:mobilenet_dsc")


def test_frozen_instance_norms_are_not_turned_live(released_h5, tmp_path):
    """coremltools 9.0 makes a live ``instance_norm`` of a frozen one; both gates notice."""
    checkpoint = load_checkpoint(str(released_h5))
    assert checkpoint.decoder_norm == "instance"
    graph, spec = prepare(checkpoint, norm="frozen"), spec_of(io="tensor")
    unfolded = dataclasses.replace(graph, module=graph.reference)
    bad = tmp_path / "bad.mlpackage"
    with scratch_folder(), quiet():
        to_model(unfolded, spec).save(str(bad))
    assert MilProgram(bad).kinds.count("instance_norm") == 5
    with pytest.raises(ValueError, match="norms must be frozen, but the program holds instance_"):
        check_package(bad, expected_package(graph, spec))

    target = get_target("coreml-fp16")
    good = tmp_path / "good.mlpackage"
    manifest = produce(target, checkpoint, spec, good, norm="frozen", threads=2)
    assert "instance_norm" not in MilProgram(good).kinds
    samples = load_sample_inputs(SIZE, 32, dynamic=False, count=1)
    runner = CoremlRunner(bad, manifest, threads=2, device="cpu")
    with pytest.raises(ParityError, match="coreml-fp16 differs from PyTorch"):
        measure_parity(runner, graph.reference, samples, tolerance_psnr_db=50.0)


@pytest.mark.slow
def test_live_norms_sum_in_float32(dsc, tmp_path):
    path = tmp_path / "net.mlpackage"
    manifest = produce(
        get_target("coreml-fp16"), dsc, spec_of(size=(64, 64)), path, norm="live", threads=2
    )
    assert manifest.parity.worst_psnr_db >= 50.0
    inside = {
        op.outputs[0].type.tensorType.dataType
        for op in main_block(load_spec(path)).operations
        if op.type in ("reduce_mean", "sqrt", "real_div")
    }
    assert inside == {11}  # FLOAT32 in MIL.proto; FLOAT16 is 10


def test_several_sizes_in_one_package(dsc, tmp_path, photo):
    path = tmp_path / "net.mlpackage"
    spec = spec_of(enumerate="96x64,64x64")
    manifest = produce(get_target("coreml-fp16"), dsc, spec, path, norm="frozen", threads=2)
    assert manifest.input.sizes == ((64, 96), (96, 64), (64, 64))
    assert manifest.parity.pictures == 4 + 2
    kind = load_spec(path).description.input[0].type.imageType
    found = {(s.height, s.width) for s in kind.enumeratedSizes.sizes}
    assert found == {(64, 96), (96, 64), (64, 64)}
    with open_runner(path) as runner:
        for height, width in manifest.input.sizes:
            corner = photo[:height, :width].transpose(2, 0, 1)[None]
            x = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
            assert np.abs(runner.infer(x) - pytorch(dsc, x)).max() <= 4 / 255
        with pytest.raises(ValueError, match=r"takes 64x96 or 96x64 or 64x64 \(HxW\), not 32x64"):
            runner.infer(np.zeros((1, 3, 32, 64), np.float32))


def test_rewritten_networks_convert(tmp_path):
    """All exact rewrites at once: transposed convolutions and pixel shuffle are emulated, too."""
    from edgedeblur.export.rewrites.rewrite import parse_steps

    checkpoint = load_checkpoint("zoo:mobilenet")
    path = tmp_path / "net.mlpackage"
    manifest = produce(
        get_target("coreml-fp16"), checkpoint, spec_of(ios="15"), path, norm="frozen",
        rewrites=parse_steps("all"), threads=2,
    )  # fmt: skip
    assert {"conv_transpose", "pixel_shuffle"} <= set(MilProgram(path).kinds) <= FRIENDLY
    assert manifest.parity.worst_psnr_db >= 50.0
    assert load_spec(path).specificationVersion == 6


def test_pixels_are_exact_where_nothing_is_added(dsc):
    """With a residual of zero the image wrapper returns every pixel unchanged, in float16 too."""
    from edgedeblur.export.to_coreml.io_types import ImageWrapper

    class Nothing(torch.nn.Module):
        def residual(self, image):
            return torch.zeros_like(image)

    pixels = torch.arange(256.0).reshape(1, 1, 16, 16)
    assert torch.equal(ImageWrapper(Nothing())(pixels), pixels)
    assert torch.equal(ImageWrapper(Nothing())(pixels.half()).float(), pixels)


@pytest.mark.skipif(ON_A_MAC, reason="a Mac runs the artifact itself")
def test_list_says_that_it_is_emulated(capsys):
    assert main(["--list", "--json"]) == 0
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["coreml-int8"]
    assert (row["builds_here"], row["runs_here"]) == (True, False)
    assert row["cannot_run"] == "its runtime does not exist on this system; it is emulated"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ios", "14"], "invalid choice: '14'"),
        (["--io", "jpeg"], "invalid choice: 'jpeg'"),
        (["--enumerate", "100"], "'100' is not HEIGHTxWIDTH"),
        (["--compute-units", "gpu"], "invalid choice: 'gpu'"),
    ],
)
def test_wrong_options(words, message, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--target", "coreml-fp16", *words])
    assert message in capsys.readouterr().err
