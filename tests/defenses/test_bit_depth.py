"""Bit-depth reduction against its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.defenses import BitDepthReduction
from lit_adv.defenses.bit_depth import reduce_bit_depth


@given(bits=st.integers(1, 8))
def test_a_channel_keeps_two_to_the_bits_levels_and_moves_half_a_step_at_most(bits: int) -> None:
    greys = torch.arange(256) / 255
    reduced = reduce_bit_depth(greys, bits)
    assert len(reduced.unique()) == 2**bits
    assert (reduced - greys).abs().max() <= 0.5 / (2**bits - 1) + 1e-6
    assert reduced[0] == 0
    assert reduced[-1] == 1


def test_eight_bits_change_nothing(images: Tensor) -> None:
    torch.testing.assert_close(reduce_bit_depth(images, 8), images)


def test_three_bits_are_the_default(images: Tensor, keys: list[str]) -> None:
    expected = (images.double() * 7).round() / 7
    torch.testing.assert_close(BitDepthReduction(nn.Identity()).purify(images, keys), expected.float())


@pytest.mark.parametrize("bits", [0, 9])
def test_impossible_depths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 8"):
        BitDepthReduction(nn.Identity(), bits=bits)
