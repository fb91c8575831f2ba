"""What a direction is: where in a step the gradient is taken, and how gradients of several points become one.

A direction is a frozen dataclass of plain values; :meth:`Direction.begin` returns a function that holds what an attack
on one batch carries from step to step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from lit_adv.attacks.parts import Part
from lit_adv.randomness import keyed_field, keyed_generator


class Gradient(Protocol):
    """The gradient of the loss at a point, averaged over the copies that are seen."""

    def __call__(self, point: Tensor, *, step: int, number: int, member: int | None = None) -> Tensor:
        """Take a gradient.

        Args:
            point: Images, float [B, 3, H, W].
            step: Step t, from 0.
            number: Which of the step's gradients it is, from 0: what the views' random numbers differ by. Gradients of
                one number see an image through the same views.
            member: The only member of an ensemble that is asked; None for the whole surrogate.

        Returns:
            Float [B, 3, H, W]. The attack moves along it, so it is that of minus the loss for a targeted attack.
        """
        ...


@dataclass(frozen=True)
class Run:
    """One attack on one batch, as directions and updates see it.

    Attributes:
        gradient: The gradient at a point.
        images: The clean images, float [B, 3, H, W] in [0, 1].
        keys: The B samples' keys.
        seed: The user's seed.
        eps: The budget, in units of [0, 1].
        step_size: Step alpha, in units of [0, 1], of the steps after the warm-up.
        steps: Number T of steps.
        period: After how many steps the same copies take their turn again; 1 where none take turns.
        varies: Whether the gradients of a step see an image differently, by the views' random numbers.
        weights: The weight of each member of the surrogate; one weight if it is no ensemble.
    """

    gradient: Gradient
    images: Tensor
    keys: Sequence[str]
    seed: int
    eps: float
    step_size: float
    steps: int
    period: int
    varies: bool
    weights: Sequence[float]

    @property
    def members(self) -> int:
        """Number of members of the surrogate; 1 if it is no ensemble."""
        return len(self.weights)

    def neighbor(self, point: Tensor, radius: float, index: int) -> Tensor:
        """Draw a point uniformly from the cube of ``radius`` around a point: the ``index``-th of this attack."""
        shape, device = self.images.shape[1:], self.images.device
        uniform = keyed_field(self.seed, "neighbors", self.keys, index, *shape, device=device)
        return point + (2 * uniform.to(point.dtype) - 1) * radius

    def draw_members(self, count: int, step: int) -> list[int]:
        """Draw members of the ensemble by their weights, the same for all images: int in [0, members), ``count``."""
        shares = np.asarray(self.weights, np.float64)
        draws = keyed_generator(self.seed, "members", str(step)).choice(self.members, count, p=shares / shares.sum())
        return [int(member) for member in draws]


#: Maps the point x that a step starts from, the point that its gradient is for (the look-ahead point, or x itself) and
#: the step's number to the step's gradient.
Step = Callable[[Tensor, Tensor, int], Tensor]


class Direction(Part, Protocol):
    """The settings of a direction, with a row in :data:`lit_adv.attacks.directions.DIRECTIONS`.

    Attributes:
        look_ahead: Whether a step starts from the look-ahead point x + alpha mu g (eq. 6).
        asks_members: Whether it asks single members of an ensemble.
        uses_weights: Whether the weights of an ensemble's members have a part in it.
        uses_fusion: Whether what an ensemble averages has a part in it.
    """

    look_ahead: ClassVar[bool] = False
    asks_members: ClassVar[bool] = False
    uses_weights: ClassVar[bool] = True
    uses_fusion: ClassVar[bool] = True

    @property
    def gradients(self) -> int:
        """Number of gradients a step."""
        ...

    @property
    def least_members(self) -> int:
        """How many members an ensemble must have."""
        return 1

    def spared(self, varies: bool) -> int:
        """Return how many gradients all steps do without together.

        Args:
            varies: As in :class:`Run`.
        """
        return 0

    def begin(self, run: Run) -> Step:
        """Return what takes a step's gradient, with nothing accumulated."""
        ...
