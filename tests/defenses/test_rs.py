"""Randomized smoothing against SciPy and against votes that are known."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, norm
from torch import Tensor, nn

from lit_adv.defenses import ABSTAIN, RandomizedSmoothing
from lit_adv.randomness import keyed_generator


class Always(nn.Module):
    """Answers class 2 of four."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 1.0, 0.0], device=images.device).expand(len(images), 4)


class BrighterThan(nn.Module):
    """Answers class 1 of two for images whose first pixel is brighter than a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, 0, 0, 0] > self.threshold
        return torch.stack([~bright, bright], dim=1).float()


def bright_votes(image: Tensor, key: str, n: int, sigma: float, threshold: float, purpose: str) -> int:
    """Count the noisy copies of one image whose first pixel is brighter than the threshold."""
    generator = keyed_generator(0, f"randomized smoothing: {purpose}", key)
    noise = generator.standard_normal((n, *image.shape), dtype=np.float32)
    return int((image[0, 0, 0].item() + sigma * noise[:, 0, 0, 0] > threshold).sum())


@pytest.fixture
def grey() -> Tensor:
    return torch.full((3, 3, 4, 4), 0.5)


@pytest.mark.parametrize("batch_size", [1, 7, 60, 100])
def test_votes_are_those_of_keyed_noise_in_batches_of_any_size(grey: Tensor, batch_size: int) -> None:
    defense = RandomizedSmoothing(BrighterThan(0.4), sigma=0.25, n=60, batch_size=batch_size)
    votes = defense(grey, ["a", "b", "c"])
    expected = [bright_votes(grey[0], key, 60, 0.25, 0.4, "prediction") for key in "abc"]
    assert votes[:, 1].tolist() == expected
    assert votes.sum(1).tolist() == [60, 60, 60]
    assert len(set(expected)) > 1


@pytest.mark.parametrize(("alpha", "least"), [(0.001, 11), (0.05, 6), (0.125, 4), (0.9, 2)])
def test_so_few_votes_that_even_unanimous_ones_could_be_chance_are_refused(
    grey: Tensor, alpha: float, least: int
) -> None:
    # All of n votes for one class have probability 2 / 2^n by chance: 0.00195 for 10, 0.00098 for 11.
    predictions = RandomizedSmoothing(Always(), n=least, alpha=alpha).predict(grey, ["a", "b", "c"])
    assert predictions.tolist() == [2] * 3
    message = f"n is {least - 1}, but must be {least} at least for alpha {alpha}: fewer votes always abstain"
    with pytest.raises(ValueError, match=message):
        RandomizedSmoothing(Always(), n=least - 1, alpha=alpha)


def test_predictions_follow_the_two_sided_binomial_test(grey: Tensor) -> None:
    keys = [str(index) for index in range(40)]
    defense = RandomizedSmoothing(BrighterThan(0.4), sigma=0.25, n=50, alpha=0.05)
    predictions = defense.predict(grey[:1].expand(40, -1, -1, -1), keys).tolist()
    expected = []
    for key in keys:
        bright = bright_votes(grey[0], key, 50, 0.25, 0.4, "prediction")
        certain = binomtest(bright, 50, 0.5, alternative="two-sided").pvalue <= 0.05
        expected.append(int(bright > 25) if certain else ABSTAIN)
    assert predictions == expected
    assert {ABSTAIN, 1} <= set(expected)


def test_a_unanimous_certificate_has_its_closed_form(grey: Tensor) -> None:
    defense = RandomizedSmoothing(Always(), sigma=0.5, alpha=0.001)
    classes, radii = defense.certify(grey, ["a", "b", "c"], n0=10, n=500)
    assert classes.tolist() == [2, 2, 2]
    np.testing.assert_allclose(radii.numpy(), 0.5 * norm.ppf(0.001 ** (1 / 500)), rtol=1e-9)


def test_a_certificate_bounds_the_share_of_fresh_copies(grey: Tensor) -> None:
    keys = [str(index) for index in range(6)]
    batch = grey[:1].expand(6, -1, -1, -1)
    defense = RandomizedSmoothing(BrighterThan(0.4), sigma=0.25, alpha=0.01, batch_size=64)
    classes, radii = defense.certify(batch, keys, n0=20, n=300)
    for key, chosen, radius in zip(keys, classes.tolist(), radii.tolist(), strict=True):
        selection = bright_votes(grey[0], key, 20, 0.25, 0.4, "selection")
        bright = bright_votes(grey[0], key, 300, 0.25, 0.4, "certificate")
        first = int(selection > 10)
        count = bright if first == 1 else 300 - bright
        bound = beta.ppf(0.01, count, 300 - count + 1)
        assert chosen == (first if bound >= 0.5 else ABSTAIN)
        assert radius == pytest.approx(0.25 * norm.ppf(bound) if bound >= 0.5 else 0.0)
    assert (radii > 0).any()


def test_an_even_split_is_not_certified(grey: Tensor) -> None:
    classes, radii = RandomizedSmoothing(BrighterThan(0.5)).certify(grey, ["a", "b", "c"], n0=10, n=200)
    assert classes.tolist() == [ABSTAIN] * 3
    assert radii.tolist() == [0.0] * 3


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"n": 0}, {"batch_size": 0}, {"alpha": 0.0}, {"alpha": 1.0}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RandomizedSmoothing(Always(), **options)  # type: ignore[arg-type]
