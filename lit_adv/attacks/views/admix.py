"""Admix: a little of images of other classes is mixed in (Wang et al., 2021).

Partners are clean images of the same batch, so of the same shard, drawn by the image's key. So an image's result
depends on its batch in this one point: the same shard and batch size give the same images.

Partners are of another class where the batch has one; else they are any other images of it, so that shards in the order
of classes do not end Admix in silence. An image that is alone in its batch is shown as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View, as_tensor, each
from lit_adv.randomness import keyed_uniform


@dataclass(frozen=True)
class Admix(View):
    """Admix.

    Attributes:
        copies: Number m_2 of partners, one for each copy.
        strength: Factor eta of the partner.
    """

    bounds: ClassVar = {"copies": (1, inf), "strength": (0, 1)}

    copies: int = 3
    strength: float = 0.2

    @property
    def varies(self) -> bool:
        """All gradients of a step are shown the same partners."""
        return False

    def prepare(self, scene: Scene) -> Transform:
        """Return x + eta x', where x' is the partner."""
        order, candidates = find_candidates(scene.true_classes(), scene.keys)
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


def find_candidates(classes: Tensor, keys: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Say whom each image may be mixed with.

    Args:
        classes: int64 [B].
        keys: The B samples' keys. What has the key of another is the same image, which fills up a batch.

    Returns:
        Where in the batch the images with N different keys stand, int64 [N], in the order of the keys, which does not
        depend on where that is; and which of them are candidates of each image, bool [B, N].
    """
    names = sorted(set(keys))
    order = torch.tensor([keys.index(name) for name in names], dtype=torch.int64, device=classes.device)
    of_other_class = classes[:, None] != classes[order]
    own = torch.tensor([names.index(key) for key in keys], device=classes.device)
    of_other_image = own[:, None] != torch.arange(len(names), device=classes.device)
    return order, torch.where(of_other_class.any(1, keepdim=True), of_other_class, of_other_image)
