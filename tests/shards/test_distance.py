"""How far an image has moved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lit_adv.shards.distance import distance

IMAGES = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 255))


@given(IMAGES, IMAGES)
def test_distances_are_those_of_integers(adversarial: np.ndarray, clean: np.ndarray) -> None:
    changes = [abs(int(a) - int(c)) for a, c in zip(adversarial.flat, clean.flat, strict=True)]
    linf, l2 = distance(adversarial, clean)
    assert linf == max(changes)
    assert l2 == pytest.approx(math.sqrt(sum(change * change for change in changes)) / 255, rel=1e-12, abs=0)


def test_the_largest_change_of_all_pixels_overflows_nothing() -> None:
    clean = np.zeros((512, 512, 3), dtype=np.uint8)
    assert distance(clean + 255, clean) == (255, pytest.approx(math.sqrt(clean.size), rel=1e-12))


def test_layouts_in_memory_make_no_difference() -> None:
    adversarial, clean = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    planes = np.ascontiguousarray(adversarial.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert distance(planes, clean) == distance(adversarial, clean)
