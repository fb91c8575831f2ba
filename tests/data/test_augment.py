"""What augmentation does to images, and to perturbations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lit_adv.data.augment import Augmentation, Augmenter

SIDE = 16


def pair(seed: int = 0) -> torch.Tensor:
    """A clean image and its adversarial version within 4 grey levels, uint8 [2, 3, 16, 16]."""
    generator = np.random.default_rng(seed)
    clean = generator.integers(4, 252, (3, SIDE, SIDE))
    noise = generator.integers(-4, 5, clean.shape)
    return torch.from_numpy(np.stack([clean, clean + noise]).astype(np.uint8))


def windows(image: np.ndarray, border: int) -> dict[tuple[int, int, bool], np.ndarray]:
    """Return all that shifting and mirroring can make of an image, by an independent way of computing it."""
    padded = np.pad(image, ((0, 0), (border, border), (border, border)), mode="symmetric")
    made = {}
    for y in range(2 * border + 1):
        for x in range(2 * border + 1):
            window = padded[:, y : y + SIDE, x : x + SIDE]
            made[y, x, False] = window
            made[y, x, True] = window[:, :, ::-1]
    return made


@given(key=st.text(max_size=8), epoch=st.integers(0, 1000))
@settings(deadline=None)
def test_both_versions_of_an_image_move_together_and_no_pixel_changes(key: str, epoch: int) -> None:
    images = pair()
    clean, adversarial = Augmenter(Augmentation(shift=0.125), SIDE, seed=0).shift(images, key, epoch).numpy()
    moves = [move for move, window in windows(images[0].numpy(), 2).items() if np.array_equal(window, clean)]
    assert moves
    assert any(np.array_equal(windows(images[1].numpy(), 2)[move], adversarial) for move in moves)
    assert np.abs(clean.astype(int) - adversarial.astype(int)).max() <= 4


def test_all_shifts_and_both_sides_occur_and_about_equally_often() -> None:
    augmenter = Augmenter(Augmentation(shift=0.0625), SIDE, seed=0)
    images = pair()
    made = {window.tobytes(): move for move, window in windows(images[0].numpy(), 1).items()}
    seen = [made[np.ascontiguousarray(augmenter.shift(images, str(n), 0)[0].numpy()).tobytes()] for n in range(900)]
    assert len(set(seen)) == 18
    assert all(25 <= seen.count(move) <= 80 for move in set(seen))


def test_an_image_is_changed_anew_in_each_epoch_but_in_the_same_way_on_each_call() -> None:
    augmenter = Augmenter(Augmentation(), SIDE, seed=3)
    image = Image.fromarray(pair()[0].permute(1, 2, 0).numpy())
    crops = [augmenter.crop(image, "key", epoch) for epoch in range(8)]
    shifts = [augmenter.shift(pair(), "key", epoch) for epoch in range(8)]
    assert len({crop.numpy().tobytes() for crop in crops}) == 8
    assert len({shift.numpy().tobytes() for shift in shifts}) > 4
    again = Augmenter(Augmentation(), SIDE, seed=3)
    assert all(torch.equal(again.crop(image, "key", epoch), crop) for epoch, crop in enumerate(crops))
    assert all(torch.equal(again.shift(pair(), "key", epoch), shift) for epoch, shift in enumerate(shifts))
    assert not torch.equal(Augmenter(Augmentation(), SIDE, seed=4).crop(image, "key", 0), crops[0])


def test_the_process_s_own_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    Augmenter(Augmentation(), SIDE, seed=0).shift(pair(), "key", 0)
    assert torch.equal(torch.rand(4), expected)


def test_a_random_crop_covers_at_least_the_smallest_area() -> None:
    # Red grows to the right and green downwards, one level a pixel: their ranges tell which part was cropped.
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(200), np.arange(200)[:, None]
    augmenter = Augmenter(Augmentation(min_area=0.25, flip=0.5), SIDE, seed=0)
    areas, mirrored = [], 0
    for number in range(200):
        crop = augmenter.crop(Image.fromarray(ramp), str(number), 0).int()
        assert crop.shape == (3, SIDE, SIDE)
        # The centers of the outer pixels lie half a pixel inside the crop's border.
        width, height = (abs(int(c[-1, -1] - c[0, 0])) * SIDE / (SIDE - 1) for c in (crop[0], crop[1]))
        areas.append(width * height / 200**2)
        mirrored += bool(crop[0, 0, -1] < crop[0, 0, 0])
    assert 0.22 < min(areas) < 0.35
    assert max(areas) > 0.9
    assert 70 < mirrored < 130


def test_nothing_changes_when_augmentation_is_switched_off() -> None:
    images = pair()
    assert torch.equal(Augmenter(Augmentation(shift=0, flip=0), SIDE, seed=0).shift(images, "key", 0), images)


@pytest.mark.parametrize("wrong", [{"shift": -0.1}, {"shift": 1.1}, {"min_area": 0}, {"min_area": 2}, {"flip": 1.5}])
def test_a_value_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        Augmentation(**wrong)
