"""How far an image has moved."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lit_adv.data.distance import distance

IMAGES = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 255))


@given(IMAGES, IMAGES)
def test_distances_are_those_of_integers(adversarial: np.ndarray, clean: np.ndarray) -> None:
    changes = [abs(int(a) - int(c)) for a, c in zip(adversarial.flat, clean.flat, strict=True)]
    linf, l2 = distance(torch.from_numpy(adversarial), torch.from_numpy(clean))
    assert linf == max(changes)
    assert l2 == pytest.approx(math.sqrt(sum(change * change for change in changes)) / 255, rel=1e-12, abs=0)


def test_the_largest_change_of_all_pixels_overflows_nothing() -> None:
    clean = torch.zeros(3, 512, 512, dtype=torch.uint8)
    assert distance(clean + 255, clean) == (255, pytest.approx(math.sqrt(clean.numel()), rel=1e-12))


def test_layouts_in_memory_make_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    adversarial, clean = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    mixed = distance(adversarial.permute(1, 2, 0).contiguous().permute(2, 0, 1), clean)
    assert mixed == distance(adversarial, clean)
