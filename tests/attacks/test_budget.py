"""The budget in floats and in grey levels."""

import pytest
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


@pytest.mark.parametrize(
    ("eps", "remedy"),
    [("-8/255", ""), (-1, ""), ("300/255", ""), (16, "; grey levels are written as a fraction: 16/255")],
)
def test_a_budget_out_of_range_is_refused_with_a_remedy_that_is_one(eps: float | str, remedy: str) -> None:
    with pytest.raises(ValueError, match=r"is not in \[0, 1\]" + remedy + "$"):
        parse_eps(eps)
