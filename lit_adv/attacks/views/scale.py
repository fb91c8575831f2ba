"""Scale copies of an image, S_i(x) = x / 2^i (SI; section 3.3 of the paper)."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View, each


@dataclass(frozen=True)
class Scale(View):
    """Scale copies.

    Attributes:
        copies: Number m of copies.
    """

    bounds: ClassVar = {"copies": (1, inf)}

    copies: int = 5

    @property
    def varies(self) -> bool:
        """It draws no numbers."""
        return False

    def prepare(self, scene: Scene) -> Transform:
        """Return S_i, where i is the copy."""
        # From a table: vectorized powers may be off by the last bit.
        factors = torch.tensor([0.5**i for i in range(self.copies)]).to(scene.images)

        def scale(centered: Tensor, moment: Moment) -> Tensor:
            if isinstance(moment.copy, Tensor):
                return centered * each(factors[moment.copy])
            return centered if moment.copy == 0 else centered * 0.5**moment.copy

        return scale
