"""What a view is: one part of how the surrogate is shown an image.

A view maps images to images, differentiably. A step shows the surrogate one or more copies of the image, each through
all views of the attack, in their order, and averages the gradients. Views work on centered images, of which zero is
mid-grey or black (:attr:`lit_adv.attacks.GradientSignSettings.scale_space`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from lit_adv.attacks.parts import Part
from lit_adv.randomness import keyed_field, keyed_normal_field, keyed_uniform

ScaleSpace = Literal["inception", "unit"]

#: The grey, in [0, 1], that is zero in each space. The authors' code feeds images in [-1, 1], so its copies
#: fade to mid-grey; most ports feed [0, 1], so theirs fade to black.
ZERO: dict[ScaleSpace, float] = {"inception": 0.5, "unit": 0.0}


#: Which of a view's own copies an image is shown as: a number, or int64 [B] where each image has its own.
Copy = int | Tensor


class Moment(NamedTuple):
    """Where in an attack an image is shown.

    Attributes:
        step: Step t, from 0.
        slot: Number of the showing among all of the step's gradients, from 0: what random numbers differ by.
        copy: Which of the view's own copies it is, in [0, copies).
    """

    step: int
    slot: int
    copy: Copy


@dataclass(frozen=True)
class Scene:
    """What a view may look at before the first step.

    Attributes:
        images: The clean images, float [B, 3, H, W] in [0, 1].
        true_classes: Returns the true classes, int64 [B]; the surrogate's predictions where they are not known.
        keys: The B samples' keys.
        seed: The user's seed.
        steps: Number of steps, those before the attack's own included.
        slots: Number of showings a step: of the copies that it sees, once for each gradient.
        zero: The grey, in [0, 1], that is zero in a centered image.
        part: What sets this part's random numbers apart from those of another of the same name; empty for the first.
    """

    images: Tensor
    true_classes: Callable[[], Tensor]
    keys: Sequence[str]
    seed: int
    steps: int
    slots: int
    zero: float
    part: str = ""

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1) for each image and showing: float64 [B, steps, slots, *shape]."""
        numbers = keyed_uniform(self.seed, purpose + self.part, self.keys, self.steps, self.slots, *shape)
        return numbers.to(self.images.device)

    def field(self, purpose: str, moment: Moment) -> Tensor:
        """Draw a uniform number in [0, 1) for each pixel at a moment: [B, 3, H, W], of the images' type."""
        return self._field(keyed_field, purpose, moment)

    def normal_field(self, purpose: str, moment: Moment) -> Tensor:
        """Draw a standard normal number for each pixel at a moment: [B, 3, H, W], of the images' type."""
        return self._field(keyed_normal_field, purpose, moment)

    def _field(self, draw: Callable[..., Tensor], purpose: str, moment: Moment) -> Tensor:
        index = moment.step * self.slots + moment.slot
        shape, device = self.images.shape[1:], self.images.device
        return draw(self.seed, purpose + self.part, self.keys, index, *shape, device=device).to(self.images.dtype)


#: Maps centered images [B, 3, H, W] to others, at a moment.
Transform = Callable[[Tensor, Moment], Tensor]


class View(Part, Protocol):
    """The settings of a view, with a row in :data:`lit_adv.attacks.views.VIEWS`."""

    @property
    def copies(self) -> int:
        """Number of copies that an image is shown in, for one gradient."""
        ...

    @property
    def varies(self) -> bool:
        """Whether the gradients of a step see an image differently through it, by its random numbers."""
        return True

    def prepare(self, scene: Scene) -> Transform:
        """Draw what can be drawn before the first step, and return the map."""
        ...


def each(numbers: Tensor) -> Tensor:
    """Give numbers [B] the shape that multiplies images, [B, 1, 1, 1]."""
    return numbers.view(-1, 1, 1, 1)


def as_tensor(copy: Copy, count: int, device: torch.device) -> Tensor:
    """Return which copy each of ``count`` images is shown as, int64 [count]."""
    return copy if isinstance(copy, Tensor) else torch.full((count,), copy, device=device)
