"""What random defenses promise: an image's result depends on its key and the seed alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.defenses import Defense, create_defense

Build = Callable[[int], Defense]


class Exact(nn.Module):
    """Runs a classifier in double precision, so that its rounding does not depend on the batch."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        state = {name: value.double() for name, value in self.classifier.state_dict().items()}
        logits: Tensor = torch.func.functional_call(self.classifier, state, (images.double(),))
        return logits


@pytest.fixture(params=["rp", "nips_r3", "comdefend", "rs"])
def build(request: pytest.FixtureRequest, classifier: nn.Module, comdefend_weights: Path) -> Build:
    options = {
        "rp": {"iterations": 3},
        "nips_r3": {},
        "comdefend": {"weights": comdefend_weights},
        "rs": {"n": 40, "sigma": 1.0, "batch_size": 16},
    }
    return lambda seed: create_defense(request.param, Exact(classifier), seed=seed, **options[request.param])


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_the_batch_does_not_matter(build: Build, images: Tensor, keys: list[str], order: list[int]) -> None:
    defense = build(0)
    alone = torch.cat([defense(images[i : i + 1], [keys[i]]) for i in order])
    together = defense(images[order], [keys[i] for i in order])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_a_seed_repeats_and_another_does_not(build: Build, images: Tensor, keys: list[str]) -> None:
    first, again, other = (build(seed)(images, keys) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_another_key_draws_other_numbers(build: Build, images: Tensor) -> None:
    same = images[:1].expand(2, -1, -1, -1)
    first, second = build(0)(same, ["a", "b"])
    assert not torch.equal(first, second)
