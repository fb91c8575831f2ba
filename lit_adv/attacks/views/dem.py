"""Diversity ensemble: diverse inputs of growing size (DEM; Zou et al., 2020).

Each copy is always transformed, resized to between its own side and a multiple of it, which is another one for each
copy and larger than DIM's. The authors average the copies' logits; here their gradients are averaged, as those of all
copies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_adv.attacks.checks import check_types
from lit_adv.attacks.views.base import Moment, Scene, Transform, View
from lit_adv.attacks.views.diverse import Interpolation, diverse_input, draw_axes


@dataclass(frozen=True)
class DiversityEnsemble(View):
    """The diversity ensemble.

    Attributes:
        ratios: R / H of each copy, above 1, at most 10.
        interpolation: Of both resizings; the authors use ``nearest``.
    """

    ratios: tuple[float, ...] = (1.14, 1.27, 1.4, 1.53, 1.66)
    interpolation: Interpolation = "nearest"

    def __post_init__(self) -> None:
        check_types(self)
        if not self.ratios or not all(1 < ratio <= 10 for ratio in self.ratios):
            raise ValueError(f"ratios is {list(self.ratios)}, but must be numbers above 1, at most 10")

    @property
    def copies(self) -> int:
        """One for each ratio."""
        return len(self.ratios)

    def prepare(self, scene: Scene) -> Transform:
        """Draw how each image is shown each time, and return the map."""
        uniform = scene.uniform("diversity ensemble", 4)
        height, width = scene.images.shape[-2:]
        ratios = torch.tensor(self.ratios, dtype=torch.float64, device=uniform.device)

        def show(centered: Tensor, moment: Moment) -> Tensor:
            axes = draw_axes(uniform[:, moment.step, moment.slot], height, width, 1.0, ratios[moment.copy])
            return diverse_input(centered, axes, self.interpolation)

        return show
