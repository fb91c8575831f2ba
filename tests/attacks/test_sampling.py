"""Pixels taken from elsewhere, forwards and backwards."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_adv.attacks.views.sampling import _InOrder, sample_pixels

SIZES = st.integers(1, 7)


def gathered(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Take pixels one by one."""
    height, width = images.shape[-2:]
    zero = torch.zeros(images.shape[1], dtype=images.dtype)
    taken = [
        images[b, :, row, column] if 0 <= row < height and 0 <= column < width else zero
        for b in range(len(images))
        for row, column in zip(rows[b].flatten().tolist(), columns[b].flatten().tolist(), strict=True)
    ]
    return torch.stack(taken).view(len(images), height, width, -1).permute(0, 3, 1, 2)


def problem(count: int, height: int, width: int, spread: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw images, source rows and columns, and an outer gradient; a small spread makes many copies of one pixel."""
    generator = torch.Generator().manual_seed(seed)
    images, outer = torch.randn(2, count, 3, height, width, generator=generator, dtype=torch.float64)
    rows, columns = torch.randint(-1, spread, (2, count, height, width), generator=generator)
    return images, rows, columns, outer


@settings(max_examples=60, deadline=None)
@given(count=SIZES, height=SIZES, width=SIZES, spread=st.integers(0, 9), seed=st.integers(0, 999))
def test_sampling_equals_taking_pixels_one_by_one(count: int, height: int, width: int, spread: int, seed: int) -> None:
    images, rows, columns, outer = problem(count, height, width, spread, seed)
    leaf = images.clone().requires_grad_()
    expected = gathered(leaf, rows, columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # What a GPU takes, whose positions are flat; one past the last is zero.
    source = torch.where(inside, rows * width + columns, height * width).flatten(1)
    for sample in (lambda x: sample_pixels(x, rows, columns), lambda x: _InOrder.apply(x, source)):
        made = sample(leaf)
        assert torch.equal(made, expected)
        if expected.requires_grad:
            wanted, back = (torch.autograd.grad(y, leaf, outer, retain_graph=True)[0] for y in (expected, made))
            torch.testing.assert_close(back, wanted, rtol=0, atol=1e-12)


def test_the_backward_pass_repeats_bit_for_bit_and_in_any_layout() -> None:
    images, rows, columns, outer = problem(4, 7, 7, 3, seed=0)
    source = (rows.clamp(min=0) * 7 + columns.clamp(min=0)).flatten(1)
    leaf = images.float().to(memory_format=torch.channels_last).requires_grad_()
    outer = outer.float()
    first, again, other_layout = (
        torch.autograd.grad(_InOrder.apply(leaf, source), leaf, g)[0]
        for g in (outer, outer, outer.to(memory_format=torch.channels_last))
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other_layout)


def test_large_images_are_sampled_at_the_right_pixels() -> None:
    """The sampling of a CPU goes by coordinates in [-1, 1], which must not be rounded to another pixel."""
    height, width = 3, 1031
    images = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    rows = torch.arange(height)[:, None].expand(height, width)[None].flip(1)
    columns = torch.arange(width).expand(height, width)[None].flip(2)
    assert torch.equal(sample_pixels(images, rows, columns), images.flip(2, 3))
