"""The order of crops is a function of the seed and the crop's number, whoever loads it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.models.data.motion import Motion
from edgedeblur.models.data.restore import Restore
from edgedeblur.models.training.crops.loader import Crops, Plan, batches
from edgedeblur.models.training.crops.sources import (
    BadPictureError,
    Pairs,
    PictureStore,
    SharpPictures,
    Videos,
)


@pytest.fixture
def crops(sharp_folder):
    return Crops([SharpPictures(sharp_folder, Motion(), PictureStore(10**9))], seed=3)


def test_batches_do_not_depend_on_the_loader_processes(crops, tiny):
    alone = list(batches(crops, Plan(tiny(), len(crops))))
    helped = list(batches(crops, Plan(tiny("data.workers=2"), len(crops))))
    assert len(alone) == len(helped) == 8
    for first, second in zip(alone, helped, strict=True):
        assert torch.equal(first.blurry, second.blurry)
        assert torch.equal(first.sharp, second.sharp)


def test_a_later_start_continues_the_same_row(crops, tiny):
    plan = Plan(tiny(), len(crops))
    whole = list(batches(crops, plan))
    rest = list(batches(crops, plan, start=5))
    assert len(rest) == 3
    assert torch.equal(rest[0].blurry, whole[5].blurry)


def test_two_processes_see_what_one_with_twice_the_batch_sees(crops, tiny):
    one = list(batches(crops, Plan(tiny("data.batch=4"), len(crops))))
    ranks = [list(batches(crops, Plan(tiny(), len(crops), world=2), rank=rank)) for rank in (0, 1)]
    for step in range(8):
        both = torch.cat([ranks[0][step].sharp, ranks[1][step].sharp])
        assert torch.equal(both, one[step].sharp)


def test_every_item_is_used_once_in_an_epoch(crops):
    for epoch in range(2):
        numbers = range(epoch * len(crops), (epoch + 1) * len(crops))
        assert sorted(crops._item(number)[1] for number in numbers) == list(range(len(crops)))


def test_final_epochs_use_larger_crops_and_no_crop_twice(tiny):
    config = tiny("data.final_epochs=1", "data.final_crop=96", "data.final_batch=1")
    plan = Plan(config, items=10)
    keys = [plan.keys(step) for step in range(plan.steps)]
    assert [len(k) for k in keys] == [2] * 4 + [1] * 4
    assert [k[0][1] for k in keys] == [64] * 4 + [96] * 4
    numbers = [number for step in keys for number, _ in step]
    assert numbers == list(range(12))


def test_an_epoch_is_once_through_the_data_unless_said_otherwise(tiny):
    assert Plan(tiny("data.epoch_steps=0"), items=9).epoch_steps == 5
    assert Plan(tiny("data.epoch_steps=0"), items=9, world=2).epoch_steps == 3


def test_unusable_pictures_are_named_and_skipped(sharp_folder, tmp_path):
    for path in sharp_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    crops = Crops([SharpPictures(tmp_path, Motion(), PictureStore(0))], seed=0)
    skipped = [text for number in range(len(crops)) for text in crops[number, 64][2]]
    assert len(skipped) == 1
    assert "broken.png: cannot be decoded" in skipped[0]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    crops = Crops([SharpPictures(tmp_path, Motion(), PictureStore(0))], seed=0)
    with pytest.raises(ValueError, match=r"unusable pictures in a row.*broken\.png"):
        crops[0, 64]


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        SharpPictures(tmp_path, Motion(), PictureStore(0))
    with pytest.raises(FileNotFoundError, match="no such folder of pictures"):
        SharpPictures(tmp_path / "none", Motion(), PictureStore(0))


def test_large_pictures_count_more(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((512, 768, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((64, 64, 3), np.uint8))
    source = SharpPictures(tmp_path, Motion(), PictureStore(0))
    assert len(source) == 6 + 1
    assert len(source.paths()) == 2


def test_pairs_are_cropped_together_and_strided(tmp_path, sharp_folder):
    import cv2

    for side in ("input", "target"):
        (tmp_path / "train" / side).mkdir(parents=True)
    for path in sharp_folder.iterdir():
        sharp = cv2.imread(str(path))
        cv2.imwrite(str(tmp_path / "train" / "target" / path.name), sharp)
        cv2.imwrite(str(tmp_path / "train" / "input" / path.name), sharp // 2)
    source = Pairs(tmp_path, PictureStore(10**9), stride=2)
    assert len(source) == 2
    blurry, sharp = source.draw(1, np.random.default_rng(0), (64, 64))
    assert sharp.shape == (64, 64, 3)
    assert np.array_equal(blurry, sharp // 2)
    with pytest.raises(BadPictureError, match="too small for crops"):
        source.draw(0, np.random.default_rng(0), (128, 128))


def test_videos_are_averaged_around_their_middle_frame(tmp_path):
    import cv2

    path = tmp_path / "bars.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (96, 96))
    for shift in range(40):  # a bright bar that walks 2 pixels a frame
        frame = np.zeros((96, 96, 3), np.uint8)
        frame[:, (2 * shift) % 96 : (2 * shift) % 96 + 8] = 255
        writer.write(frame)
    writer.release()
    source = Videos(tmp_path, Motion(noise_share=0.0))
    assert len(source) == 2  # seconds with at least 7 frames left
    blurry, sharp = source.draw(0, np.random.default_rng(1), (96, 96))
    lit = (sharp[48, :, 0] > 128).sum()
    assert 7 <= lit <= 9
    assert (blurry[48, :, 0] > 20).sum() >= lit + 2 * 6 - 1  # 7 frames or more, 2 pixels apart
    with pytest.raises(ValueError, match="no videos"):
        Videos(_empty(tmp_path), Motion())


def _empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_crops_are_degraded_by_the_shares_and_sharp_sides_are_not(sharp_folder):
    def crops(restore):
        source = SharpPictures(sharp_folder, Motion(), PictureStore(10**9))
        return Crops([source], seed=3, restore=restore)

    plain, noisy = crops(None), crops(Restore(gaussian_share=1.0))
    for number in range(4):
        (blurry, sharp, _), (bad, same, _) = plain[number, 64], noisy[number, 64]
        assert np.array_equal(sharp, same)
        assert 4 < (bad.astype(float) - blurry).std() < 26
        assert np.array_equal(crops(Restore())[number, 64][0], blurry)
