"""Sums of defenses."""

import pytest
import torch
from torch import Tensor, nn

from lit_adv.defenses import BitDepthReduction, FeatureDistillation, ScoreSum


def test_scores_are_added(images: Tensor, keys: list[str], classifier: nn.Module) -> None:
    members = [BitDepthReduction(classifier), FeatureDistillation(classifier), BitDepthReduction(classifier, 1)]
    expected = sum(member(images, keys) for member in members)
    torch.testing.assert_close(ScoreSum(members)(images, keys), expected)


def test_an_empty_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ScoreSum([])
