"""How gradients of many steps add up, and how an image moves along them: updates by name."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lit_adv.attacks.norms import GradientNorm, divide, largest, normalize
from lit_adv.attacks.parts import Part

#: Maps the gradient of a step and the step's number, counted from the attack's first, to what has been accumulated,
#: which the look-ahead goes along, and by how many steps alpha the image moves; both float [B, 3, H, W].
Accumulate = Callable[[Tensor, int], tuple[Tensor, Tensor]]


class Update(Part, Protocol):
    """The settings of an update, with a row in :data:`UPDATES`."""

    def begin(self, images: Tensor, steps: int, warm_up: int, momentum: float, norm: GradientNorm) -> Accumulate:
        """Return what accumulates gradients, with nothing accumulated.

        Args:
            images: The clean images, float [B, 3, H, W].
            steps: Number of the attack's steps, those of the warm-up included.
            warm_up: How many of them are the warm-up.
            momentum: Decay factor mu.
            norm: What divides a gradient.
        """
        ...


@dataclass(frozen=True)
class Sign(Update):
    """A step alpha along the sign of the accumulated gradient g = mu g + G / |G| (eqs. 7 and 8 of the paper).

    Attributes:
        decay: A pixel whose g has changed its sign moves by this factor less from then on: eta of the decay indicator
            of GRA (Zhu et al., 2023), 0.94 there; 1 for steps of one length.
    """

    bounds: ClassVar = {"decay": (0.01, 1)}

    decay: float = 1.0

    def begin(self, images: Tensor, steps: int, warm_up: int, momentum: float, norm: GradientNorm) -> Accumulate:
        """Start with g = 0."""
        g = torch.zeros_like(images)
        # The first g differs in its sign from none at all, and is to move by whole steps.
        length = torch.full_like(images, 1 / self.decay)

        def accumulate(gradient: Tensor, t: int) -> tuple[Tensor, Tensor]:
            nonlocal g, length
            last, g = g, momentum * g + normalize(gradient, norm)  # step 11, eq. 7
            if self.decay == 1:
                return g, g.sign()
            length = torch.where(g.sign() == last.sign(), length, length * self.decay)
            return g, length * g.sign()

        return accumulate


@dataclass(frozen=True)
class AdamTanh(Update):
    """Adam's ratio of moments, through a tanh (AI-FGTM; Zou et al., 2022).

        m = m + mu_1 G,  v = v + mu_2 G^2,  x = x + alpha_t tanh(lambda m / (sqrt(v) + delta))

    where alpha_t grows and falls with (1 - beta_1^t) / sqrt(1 - beta_2^t) and adds up to T alpha over the steps after a
    warm-up. The gradient's norm has no part in it, and the momentum of the attack none but in a look-ahead, which goes
    along alpha mu m / sqrt(v).

    Attributes:
        mu_1: Factor of the gradient.
        mu_2: Factor of its square.
        beta_1: Decay rate of the steps' first moment.
        beta_2: Decay rate of their second.
        scale: lambda.
    """

    bounds: ClassVar = {
        "mu_1": (0, inf),
        "mu_2": (1e-6, inf),
        "beta_1": (0, 0.9999),
        "beta_2": (0, 0.9999),
        "scale": (0, inf),
    }

    mu_1: float = 1.5
    mu_2: float = 1.9
    beta_1: float = 0.9
    beta_2: float = 0.99
    scale: float = 1.3

    def begin(self, images: Tensor, steps: int, warm_up: int, momentum: float, norm: GradientNorm) -> Accumulate:
        """Start with m = v = 0."""
        m, v = torch.zeros_like(images), torch.zeros_like(images)
        size = images.new_zeros(len(images), 1, 1, 1)
        lengths = [(1 - self.beta_1**t) / math.sqrt(1 - self.beta_2**t) for t in range(1, steps + 1)]
        lengths = [length * (steps - warm_up) / sum(lengths[warm_up:]) for length in lengths]

        def accumulate(gradient: Tensor, t: int) -> tuple[Tensor, Tensor]:
            nonlocal m, v, size
            # In units of the largest value so far, since squares of gradients, of some 10^-6, would leave float32. The
            # ratio is the same in all units.
            last, size = size, torch.maximum(size, largest(gradient))
            scaled, change = divide(gradient, size), divide(last, size)
            m, v = change * m + self.mu_1 * scaled, change.square() * v + self.mu_2 * scaled.square()
            ratio = m / (v.sqrt() + 1e-20)
            return ratio, lengths[t] * (self.scale * ratio).tanh()

        return accumulate


#: Updates by the names that configurations use.
UPDATES: Mapping[str, type[Update]] = {"sign": Sign, "adam_tanh": AdamTanh}
