import dataclasses
import json
import math

import numpy as np
import pytest
from edgedeblur.benchmarks.quality.measure import Gallery, measure_quality, summarise
from edgedeblur.benchmarks.quality.reference_outputs import ReferenceReader, ReferenceWriter
from edgedeblur.benchmarks.quality.scores import PictureScore
from edgedeblur.benchmarks.report.columns import quality_columns
from edgedeblur.benchmarks.report.formats.json_file import json_text
from edgedeblur.benchmarks.report.formats.markdown import markdown_table
from edgedeblur.benchmarks.result import BenchResult, Row
from edgedeblur.runtimes import compare
from edgedeblur.runtimes.registry import open_runner

from ..report.test_report import printed, result
from ..support import blurred, picture, save_png, sharpening, write_artifact, write_pairs


def measure(path, pictures, **options):
    with open_runner(path, threads=1) as runner:
        return measure_quality(runner, pictures, "edge", **options)


@pytest.fixture
def reference(tmp_path):
    """Outputs of the sharpening network, as PyTorch's would lie there."""
    pictures = write_pairs(tmp_path / "data", 3, (70, 110))
    path = write_artifact(tmp_path / "reference.onnx", sharpening(), size=None)
    folder = tmp_path / "store"
    folder.mkdir()
    quality = measure(path, pictures, writer=ReferenceWriter(folder, len(pictures)))
    return pictures, folder, quality


def test_scores_equal_direct_comparisons(tmp_path):
    pictures = write_pairs(tmp_path, 2)
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    found = measure(path, pictures)
    with open_runner(path, threads=1) as runner:
        for seed, score in enumerate(found.scores):
            sharp = picture(seed)
            output = runner.deblur(blurred(sharp))
            assert score.psnr_db == compare.psnr_db(output, sharp)
            assert score.ssim == compare.ssim(output, sharp)
            assert score.blurry_psnr_db == compare.psnr_db(blurred(sharp), sharp)
            assert score.blurry_ssim == compare.ssim(blurred(sharp), sharp)
    assert found.psnr_db == pytest.approx(np.mean([s.psnr_db for s in found.scores]))
    assert found.psnr_db != found.blurry_psnr_db
    assert found.drift is None


def test_a_faithful_copy_has_no_drift(tmp_path, reference):
    pictures, folder, wanted = reference
    copy = write_artifact(tmp_path / "copy.onnx", sharpening(), size=None)
    found = measure(copy, pictures, reader=ReferenceReader(folder, "torch"))
    assert found.drift is not None
    assert found.drift.reference == "torch"
    assert (found.drift.delta_psnr_db, found.drift.delta_ssim) == (0.0, 0.0)
    assert found.drift.pooled_psnr_db == math.inf
    assert found.drift.residual_snr_db == math.inf
    assert found.psnr_db == wanted.psnr_db
    assert found.blurry_psnr_db == wanted.blurry_psnr_db


def test_a_residual_off_by_a_tenth_has_20_db(tmp_path, reference):
    pictures, folder, _ = reference
    weaker = write_artifact(tmp_path / "weak.onnx", sharpening(0.2 * 0.9), size=None)
    drift = measure(weaker, pictures, reader=ReferenceReader(folder, "torch")).drift
    assert drift is not None
    assert drift.residual_snr_db == pytest.approx(20.0, abs=0.01)
    assert drift.pooled_psnr_db > 40  # and yet the pictures look the same


def test_scrambled_weights_show(tmp_path, reference):
    pictures, folder, _ = reference
    weight = np.random.default_rng(0).permutation(sharpening(0.2).ravel()).reshape(3, 3, 3, 3)
    broken = write_artifact(tmp_path / "broken.onnx", weight, size=None)
    found = measure(broken, pictures, reader=ReferenceReader(folder, "torch"))
    assert found.drift is not None
    assert found.drift.delta_psnr_db < -3
    assert found.drift.delta_ssim < -0.01
    assert found.drift.residual_snr_db < 3
    lowest = min(found.scores, key=lambda score: score.drift.psnr_db)
    assert found.drift.worst_picture == lowest.name
    assert found.drift.worst_psnr_db == lowest.drift.psnr_db


def test_nan_from_the_artifact_is_an_error(tmp_path):
    pictures = write_pairs(tmp_path, 1)
    path = write_artifact(tmp_path / "a.onnx", np.full((3, 3, 3, 3), np.nan))
    with pytest.raises(ValueError, match=r"p0: .*NaN"):
        measure(path, pictures)


def test_another_cut_than_the_references_is_an_error(tmp_path, reference):
    pictures, folder, _ = reference
    fixed = write_artifact(tmp_path / "fixed.onnx", sharpening(), size=(64, 96))
    with pytest.raises(ValueError, match="PyTorch reference"):
        measure(fixed, pictures, reader=ReferenceReader(folder, "torch"))


def test_the_best_of_several_sharp_pictures_counts(tmp_path):
    (files,) = write_pairs(tmp_path, 1)
    other = save_png(tmp_path / "other.png", picture(9))
    several = dataclasses.replace(files, sharps=(str(other), *files.sharps, str(other)))
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    assert measure(path, [several]).scores == measure(path, [files]).scores
    assert measure(path, [several]).scores[0].sharp == "p0.png"


@pytest.fixture
def perfect(reference):
    """The reference's outputs are the sharp pictures themselves: all of them, or the first."""
    pictures, folder, _ = reference
    reader = ReferenceReader(folder, "torch")

    def scored(count, path, tmp_path):
        sharp = [
            dataclasses.replace(
                files, sharps=(str(save_png(tmp_path / f"{i}.png", reader.output(i))),)
            )
            if i < count
            else files
            for i, files in enumerate(pictures)
        ]
        anew = tmp_path / f"perfect{count}"
        anew.mkdir()
        with_sharp = measure(
            tmp_path / "reference.onnx", sharp, writer=ReferenceWriter(anew, len(sharp))
        )
        return with_sharp, measure(path, sharp, reader=ReferenceReader(anew, "torch"))

    return scored


def text_of(*qualities):
    """The quality table, and the result as JSON, which holds no infinity, read back."""
    rows = tuple(Row(f"row{i}", quality=quality) for i, quality in enumerate(qualities))
    whole = result(*rows)
    assert BenchResult.from_dict(json.loads(json_text(whole)), origin="here") == whole
    assert "-inf" not in printed(whole)
    return markdown_table(quality_columns(), rows)


def test_a_reference_that_equals_the_sharp_pictures(tmp_path, perfect):
    weaker = write_artifact(tmp_path / "weak.onnx", sharpening(0.1), size=None)
    reference, found = perfect(3, weaker, tmp_path)
    assert reference.psnr_db == math.inf
    assert math.isfinite(found.psnr_db)
    assert found.drift.delta_psnr_db is None
    assert [score.drift.delta_psnr_db for score in found.scores] == [None] * 3
    assert found.drift.delta_ssim < 0
    text = text_of(reference, found)
    assert "identical" in text
    assert "none (3 of 3 infinite)" in text
    assert "-inf" not in text
    assert "nan" not in text


def test_one_picture_that_equals_the_sharp_one_spoils_no_mean(tmp_path, perfect):
    weaker = write_artifact(tmp_path / "weak.onnx", sharpening(0.1), size=None)
    reference, found = perfect(1, weaker, tmp_path)
    deltas = [score.drift.delta_psnr_db for score in found.scores]
    assert deltas[0] is None
    assert found.drift.delta_psnr_db == pytest.approx((deltas[1] + deltas[2]) / 2)
    text = text_of(reference, found)
    assert "infinite (1 of 3 identical)" in text
    assert f"{found.drift.delta_psnr_db:+.3f} (1 of 3 infinite, left out)" in text


def test_an_artifact_as_perfect_as_its_reference_has_no_delta(tmp_path, perfect):
    copy = write_artifact(tmp_path / "copy.onnx", sharpening(), size=None)
    _, found = perfect(2, copy, tmp_path)
    assert found.drift.delta_psnr_db == 0.0


def test_no_pictures_is_an_error(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    with pytest.raises(ValueError, match="no pictures"):
        measure(path, [])
    with pytest.raises(ValueError, match="no pictures"):
        summarise([], "")


def test_sizes_that_differ_name_the_picture(tmp_path):
    (files,) = write_pairs(tmp_path, 1)
    save_png(tmp_path / "sharp" / "p0.png", picture(0, (32, 32)))
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    with pytest.raises(ValueError, match="p0: cannot compare shapes"):
        measure(path, [files])


def test_a_full_disk_is_reported_before_writing(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 300 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    writer = ReferenceWriter(tmp_path, pictures=1000)
    image = np.zeros((1, 3, *(64, 96)), np.float32)
    with pytest.raises(OSError, match="--limit"):
        writer.add_tile(image, image)
    assert not list(tmp_path.iterdir())
    ReferenceWriter(tmp_path, pictures=2).add_tile(image, image)


def test_gallery_keeps_first_and_worst(tmp_path):
    from edgedeblur.benchmarks.quality.measure import ReportPicture

    pixels = picture(0)
    gallery = Gallery()
    for name, psnr in (("a", 30.0), ("b", 20.0), ("c", 25.0)):
        score = PictureScore(name, "s", psnr, 0.9, 20.0, 0.8)
        gallery.offer(ReportPicture("", name, pixels, pixels, pixels, None), score)
    assert [(p.role, p.name) for p in gallery.pictures] == [("first", "a"), ("worst", "b")]
