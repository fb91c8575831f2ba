"""Random numbers by key: whose numbers they are, and that they are random."""

import math
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest, norm

from lit_adv.randomness import _mix, keyed_field, keyed_normal_field, keyed_uniform

CPU = torch.device("cpu")
GAMMA = 0x9E3779B97F4A7C15


def split_mix(state: int, count: int, first: int = 0) -> npt.NDArray[np.uint64]:
    """Run SplitMix64 as it is published, in unsigned words."""
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(GAMMA)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def test_the_mixing_function_is_that_of_split_mix_64() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert split_mix(0, 3).tolist() == published
    states = torch.tensor([(k * GAMMA + (1 << 63)) % (1 << 64) - (1 << 63) for k in (1, 2, 3)])
    assert [word % (1 << 64) for word in _mix(states).tolist()] == published


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(),
    purpose=st.text(max_size=9),
    keys=st.lists(st.text(), max_size=4),
    index=st.integers(0, 10**6),
    shape=st.lists(st.integers(1, 4), max_size=3),
)
def test_a_field_is_a_stretch_of_an_image_s_own_sequence(
    seed: int, purpose: str, keys: list[str], index: int, shape: list[int]
) -> None:
    made = keyed_field(seed, purpose, keys, index, *shape, device=CPU)
    assert made.shape == (len(keys), *shape)
    assert made.dtype == torch.float32
    count = math.prod(shape)
    for field, key in zip(made, keys, strict=True):
        state = int.from_bytes(blake2b(f"{seed}\0{purpose}\0{key}".encode(), digest_size=8).digest(), "little")
        top = (split_mix(state, count, first=index * count) >> np.uint64(40)).astype(np.float64)
        np.testing.assert_array_equal(field.double().numpy().ravel(), top / 2**24)


def test_no_field_shares_a_number_with_another() -> None:
    """Fields of one image follow each other; those of another image, purpose or seed are others altogether."""
    together = keyed_field(0, "test", ["a"], 0, 6, 4, device=CPU)
    apart = torch.cat([keyed_field(0, "test", ["a"], index, 2, 4, device=CPU) for index in range(3)], dim=1)
    assert torch.equal(together, apart)
    several = torch.cat(
        [
            keyed_field(seed, purpose, ["a", "b"], index, 1000, device=CPU).flatten()
            for seed, purpose in ((0, "test"), (1, "test"), (0, "other"))
            for index in (0, 1, 7)
        ]
    )
    # 18,000 draws from 2^24 numbers meet some 10 times by chance.
    assert len(several) - len(several.unique()) < 40


def chi_square(counts: npt.NDArray[np.int64]) -> float:
    """Return how likely counts are to lie at least so far from equal ones."""
    expected = counts.sum() / counts.size
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1))


@pytest.mark.parametrize("shift", [0, 8, 16])
def test_numbers_are_uniform_in_their_high_middle_and_low_bits(shift: int) -> None:
    words = keyed_field(0, "uniform", [str(k) for k in range(20)], 3, 10_000, device=CPU).double() * 2**24
    counts = np.bincount((words.long() >> shift).flatten().numpy() & 255, minlength=256)
    assert 1e-4 < chi_square(counts) < 1 - 1e-4


@pytest.mark.parametrize("neighbor", ["pixel", "index", "key"])
def test_neighbors_are_independent(neighbor: str) -> None:
    """Pixels next to each other, fields of following indices, and keys that differ in one letter."""
    keys = [f"ILSVRC2012_val_{k:08d}" for k in range(20)]
    here, next_index = (keyed_field(0, "uniform", keys, index, 10_000, device=CPU) for index in (0, 1))
    other = {"pixel": here.roll(1, 1), "index": next_index, "key": here.roll(1, 0)}[neighbor]
    cells = (here * 16).long() * 16 + (other * 16).long()
    assert 1e-4 < chi_square(np.bincount(cells.flatten().numpy(), minlength=256)) < 1 - 1e-4


def test_normal_numbers_are_normal() -> None:
    made = keyed_normal_field(0, "normal", [str(k) for k in range(4)], 2, 3, 100, 100, device=CPU)
    assert made.dtype == torch.float32
    assert made.isfinite().all()
    numbers = made.double().numpy().ravel()
    assert kstest(numbers, norm.cdf).pvalue > 1e-3
    count = numbers.size
    for power, expected in ((1, 0), (2, 1), (3, 0), (4, 3)):  # moments, each with the variance of its mean
        spread = math.sqrt(norm.moment(2 * power) - expected**2) / math.sqrt(count)
        assert abs((numbers**power).mean() - expected) < 4 * spread
    following = keyed_normal_field(0, "normal", [str(k) for k in range(4)], 3, 3, 100, 100, device=CPU)
    correlation = np.corrcoef(numbers, following.double().numpy().ravel())[0, 1]
    assert abs(correlation) < 4 / math.sqrt(count)


def test_a_normal_number_is_made_of_two_parts_of_one_word() -> None:
    """Box and Muller's transform of the upper 24 bits, and of the 24 below."""
    state = int.from_bytes(blake2b(b"0\0p\0a", digest_size=8).digest(), "little")
    for index in (0, 1, 5):
        words = split_mix(state, 50, first=50 * index)
        radius, turn = ((words >> np.uint64(k) & np.uint64(2**24 - 1)) / 2**24 for k in (40, 16))
        expected = np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * turn)
        made = keyed_normal_field(0, "p", ["a"], index, 50, device=CPU)
        np.testing.assert_allclose(made.double().numpy(), [expected], rtol=1e-5, atol=1e-6)


def test_a_batch_without_images_has_no_numbers() -> None:
    assert keyed_uniform(0, "test", [], 3, 4).shape == (0, 3, 4)
    assert keyed_field(0, "test", [], 2, 3, 4, device=CPU).shape == (0, 3, 4)
    assert keyed_normal_field(0, "test", [], 2, 3, 4, device=CPU).shape == (0, 3, 4)
