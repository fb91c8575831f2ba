"""Diverse input: one linear map equals resize, pad, resize."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_adv.attacks.views.diverse import Interpolation, _axis_matrix, diverse_input, draw_axes
from tests.attacks.reference_views import resized


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4), min_size=1, max_size=4),
    side=st.sampled_from([16, 33, 64, 224]),
    mode=st.sampled_from(["nearest", "bilinear"]),
    ratios=st.just([331 / 299]) | st.lists(st.floats(1.1, 4), min_size=4, max_size=4),
)
def test_a_batch_of_different_views_equals_each_view_alone(
    numbers: list[tuple[float, ...]], side: int, mode: Interpolation, ratios: list[float]
) -> None:
    """The numbers say whether, to what size, how far down and how far right; R / H may be each image's own."""
    images = torch.rand(len(numbers), 3, side, side, dtype=torch.float64)
    ratio = ratios[0] if len(ratios) == 1 else torch.tensor(ratios[: len(numbers)], dtype=torch.float64)
    axes = draw_axes(torch.tensor(numbers, dtype=torch.float64), side, side, 0.5, ratio)
    made = diverse_input(images, axes, mode)
    for b, (coin, *others) in enumerate(numbers):
        alone = images[b].numpy()
        if coin < 0.5:
            alone, _ = resized(alone, others, ratios[b % len(ratios)], mode)
        torch.testing.assert_close(made[b], torch.from_numpy(alone), rtol=0, atol=1e-6)


def test_matrices_and_sampling_give_the_same_numbers() -> None:
    uniform = torch.rand(5, 4, dtype=torch.float64)
    rows, columns = draw_axes(uniform, 40, 56, probability=0.7)
    images = torch.rand(5, 3, 40, 56)
    by_matrix = _axis_matrix(rows, "nearest")[:, None] @ images @ _axis_matrix(columns, "nearest")[:, None].mT
    assert torch.equal(diverse_input(images, (rows, columns), "nearest"), by_matrix)


def test_sizes_and_offsets_cover_their_ranges_uniformly() -> None:
    rows, columns = draw_axes(torch.rand(50_000, 4, dtype=torch.float64), 299, 299, probability=0.5)
    assert rows.canvas == 331
    assert torch.equal(rows.size, columns.size)
    frequency = rows.size.bincount()[299:331] / 50_000
    torch.testing.assert_close(frequency, torch.full((32,), 1 / 32), rtol=0.2, atol=0)
    assert torch.equal(rows.offset.max(), torch.tensor(331 - 299))
    assert rows.offset.min() == 0
    assert not torch.equal(rows.offset, columns.offset)
    assert rows.applied.double().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_probability_decides_whether_anything_happens(probability: float) -> None:
    images: Tensor = torch.rand(3, 3, 32, 32)
    made = diverse_input(images, draw_axes(torch.rand(3, 4), 32, 32, probability), "nearest")
    assert torch.equal(made, images) == (probability == 0)
