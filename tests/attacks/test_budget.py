"""The budget in floats and in grey levels."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_adv.attacks import grey_levels, parse_eps, quantize


@given(st.integers(0, 255))
def test_a_fraction_of_255_is_that_many_grey_levels(levels: int) -> None:
    assert grey_levels(parse_eps(f"{levels}/255")) == levels
    assert grey_levels(levels / 255) == levels


@given(levels=st.integers(0, 255), seed=st.integers(0, 1000))
def test_rounding_never_leaves_the_budget(levels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8, generator=generator)
    wild = torch.rand(2, 3, 5, 5, generator=generator) * 1.4 - 0.2
    stored = quantize(wild, clean, levels).int()
    assert (stored - clean.int()).abs().max() <= levels
    nearest = (wild * 255).round().clamp(0, 255).int()
    inside = (nearest - clean.int()).abs() <= levels
    assert torch.equal(stored[inside], nearest[inside])
