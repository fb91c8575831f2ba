"""Several defended classifiers that decide together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_adv.defenses.base import Defense


class ScoreSum(Defense):
    """Adds the scores of several defenses.

    HGD's competition entry is of this kind: four classifiers, each behind its own denoiser, whose logits are
    added.

    Args:
        defenses: At least one defense; all of the same classes.

    Raises:
        ValueError: If ``defenses`` is empty.
    """

    def __init__(self, defenses: Sequence[Defense]) -> None:
        if not defenses:
            raise ValueError("an ensemble needs at least one defense")
        super().__init__()
        self.defenses = nn.ModuleList(defenses)

    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Return the sum of the defenses' scores."""
        return torch.stack([defense(images, keys) for defense in self.defenses]).sum(0)
