"""Admix: a little of images of other classes is mixed in (Wang et al., 2021).

Partners are clean images of the same batch, so of the same shard, and of another class, drawn by the image's key. So an
image's result depends on its batch in this one point: the same shard and batch size give the same images. An image
whose batch has none of another class is shown as it is.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, as_tensor, each
from lit_adv.randomness import keyed_uniform


@dataclass(frozen=True)
class Admix:
    """Admix.

    Attributes:
        copies: Number m_2 of partners, one for each copy.
        strength: Factor eta of the partner.
    """

    bounds: ClassVar = {"copies": (1, inf), "strength": (0, 1)}

    copies: int = 3
    strength: float = 0.2

    def prepare(self, scene: Scene) -> Transform:
        """Return x + eta x', where x' is the partner."""
        others = scene.labels[:, None] != scene.labels
        # The order of the partners is that of their keys: it does not depend on where in the batch they stand.
        order = torch.tensor(sorted(range(len(scene.keys)), key=scene.keys.__getitem__), device=others.device)
        candidates = others[:, order]
        counts = candidates.sum(1)
        # Each step has its set of m_2 partners, which other views' copies share.
        uniform = keyed_uniform(scene.seed, "admix" + scene.part, scene.keys, scene.steps, self.copies).to(order.device)
        partners = scene.images - scene.zero
        rank = candidates.cumsum(1)

        def mix(centered: Tensor, moment: Moment) -> Tensor:
            copy = as_tensor(moment.copy, len(centered), centered.device)
            number = uniform[:, moment.step].gather(1, copy[:, None])[:, 0]
            wanted = (number * counts).long() + 1  # the first has rank 1
            partner = order[((rank == wanted[:, None]) & candidates).int().argmax(1)]
            strength = each((counts > 0) * self.strength).to(centered)
            return torch.addcmul(centered, partners[partner], strength)

        return mix
