"""What an attack of the gradient-sign family is made of."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import inf, prod
from typing import Any

from lit_adv.attacks.backward import BACKWARD, Backward
from lit_adv.attacks.budget import parse_number
from lit_adv.attacks.copies import CopyOrder
from lit_adv.attacks.directions import DIRECTIONS, Direction
from lit_adv.attacks.losses import LOSSES, Loss
from lit_adv.attacks.norms import GradientNorm
from lit_adv.attacks.objective import LabelSource, Target
from lit_adv.attacks.parts import describe_part, parse_part
from lit_adv.attacks.updates import UPDATES, Sign, Update
from lit_adv.attacks.views import VIEWS, View
from lit_adv.attacks.views.base import ScaleSpace
from lit_adv.attacks.views.diverse import Diverse, Interpolation
from lit_adv.attacks.views.scale import Scale

#: Settings that came later. A description has them where they are used alone, so that folders that were made before
#: can be completed.
_LATER = (
    "copies_a_step",
    "copy_order",
    "views",
    "direction",
    "loss",
    "backward",
    "update",
    "step_factor",
    "warm_up_steps",
    "warm_up_factor",
)

#: Settings that say nothing where there are views, and the views that say the same.
REPLACED_BY_VIEWS = {
    "scale_copies": "{{scale: {}}}",
    "diversity_probability": "{{diverse: {}}}",
    "interpolation": "{{diverse: {{interpolation: {}}}}}",
}

#: Options that decide alone about what a named attack has said by other settings, which then no longer count.
DECIDES_ALONE: Mapping[str, Collection[str]] = {
    "views": REPLACED_BY_VIEWS,
    "direction": ("nesterov",),
    "step_size": ("step_factor",),
    "step_factor": ("step_size",),
}


@dataclass(frozen=True, kw_only=True)
class GradientSignSettings:
    """What one attack of the family is made of. Defaults are the paper's (section 4.1).

    Attributes:
        eps: L-infinity budget in units of [0, 1]; a number or a fraction such as ``"16/255"``.
        steps: Iterations T.
        step_size: Step alpha in units of [0, 1]; ``step_factor`` * eps / T by default.
        step_factor: Step alpha in units of eps / T, where ``step_size`` is not given.
        momentum: Decay factor mu of the accumulated gradient (MI; eq. 3).
        nesterov: Whether the gradient is taken at the look-ahead point (NI; eq. 6).
        scale_copies: Number m of scale copies (SI; eq. 9).
        copies_a_step: Number K of copies, of all that the views make, that a gradient sees; None for all, as in the
            paper. The attack then takes T * K passes of the surrogate in place of T * m.
        copy_order: Which K: all copies take turns (``in_turn``), or K are drawn for each image and step (``drawn``).
        scale_space: What is zero where views scale or pad: mid-grey (``inception``, the authors' code) or black
            (``unit``).
        diversity_probability: Probability p of the diverse input (DIM).
        interpolation: Of the diverse input's resizings.
        views: How the surrogate is shown the image, in this order: names of :data:`lit_adv.attacks.views.VIEWS`, or
            mappings such as ``{bsr: {blocks: 2}}``, ``{scale: 5}``, ``{diverse: 0.5}``. Each copy of one view is shown
            as each copy of the others. None for the diverse input and the scale copies of the settings above; given,
            they take the place of those that a named attack has.
        direction: Where the gradient is taken: one of :data:`lit_adv.attacks.directions.DIRECTIONS`, or a mapping such
            as ``{vni: {samples: 5}}``. Given, it decides about the look-ahead, too, in place of a named attack's
            ``nesterov``.
        loss: One of :data:`lit_adv.attacks.losses.LOSSES`, or a mapping.
        backward: How gradients pass back through the surrogate: one of :data:`lit_adv.attacks.backward.BACKWARD`, or a
            mapping such as ``{leaky: 0.1}``.
        update: How the image moves: one of :data:`lit_adv.attacks.updates.UPDATES`, or a mapping.
        warm_up_steps: Steps that an attack takes beforehand; it then goes back to where it started and keeps what it
            has accumulated (global momentum initialization, GI; Wang et al., 2024). It takes a momentum.
        warm_up_factor: How much longer these steps are. What directions measure in steps alpha does not grow with it.
        kernel_size: Side of the translation kernel W (TIM); 0 for none.
        gradient_norm: What divides the gradient. The paper prints the L1 norm, a sum over some 10^5 values; the
            look-ahead ``alpha * mu * g`` is then about 10^-5 of a step and Nesterov does nothing. The authors'
            code divides by the mean absolute value (``mean_abs``); ``l1`` gives the literal text. ``none`` adds
            gradients up as they are, so that steps of larger gradients count more (Zhao et al., 2021).
        random_start: Whether to start at a uniform point of the budget (PGD).
        label_source: The true label, or the surrogate's prediction for the clean image (the authors' code).
        target: None for untargeted; ``given``, ``least_likely`` or ``random`` minimizes the loss to that class.
        seed: Seed of all random numbers.

    Raises:
        ValueError: If a part is unknown or has a wrong option, or two settings contradict each other.
    """

    eps: float | str = 16 / 255
    steps: int = 10
    step_size: float | str | None = None
    step_factor: float = 1.0
    momentum: float = 1.0
    nesterov: bool = False
    scale_copies: int = 1
    copies_a_step: int | None = None
    copy_order: CopyOrder = "in_turn"
    scale_space: ScaleSpace = "inception"
    diversity_probability: float = 0.0
    interpolation: Interpolation = "nearest"
    views: list[Any] | None = None
    direction: str | dict[str, Any] = "plain"
    loss: str | dict[str, Any] = "cross_entropy"
    backward: str | dict[str, Any] = "exact"
    update: str | dict[str, Any] = "sign"
    warm_up_steps: int = 0
    warm_up_factor: float = 10.0
    kernel_size: int = 0
    gradient_norm: GradientNorm = "mean_abs"
    random_start: bool = False
    label_source: LabelSource = "true"
    target: Target | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what would have no effect."""
        if self.step_size is not None and self.step_factor != 1:
            raise ValueError(
                f"step_size {self.step_size!r} and step_factor {self.step_factor!r} are both given: leave one out"
            )
        step = "step_factor" if self.step_size is None else "step_size"
        value = getattr(self, step)
        if not parse_number(step, value) and parse_number("eps", self.eps) and not self.random_start:
            raise ValueError(f"{step} {value!r} moves no image: make it positive, or leave it out")
        if self.warm_up_steps and not self.momentum and isinstance(self.update_part, Sign):
            raise ValueError(
                "warm_up_steps accumulate a gradient that momentum 0 forgets: set momentum, or leave warm_up_steps out"
            )

    @cached_property
    def view_parts(self) -> tuple[View, ...]:
        """The views, in the order in which they are applied."""
        if self.views is None:
            # D and S_i are linear about the same zero, so their order does not matter.
            return (Diverse(self.diversity_probability, self.interpolation), Scale(self.scale_copies))
        if not isinstance(self.views, list):
            raise ValueError(f"views is {self.views!r}, but must be a list such as [{{scale: 5}}, bsr]")
        for setting, as_view in REPLACED_BY_VIEWS.items():
            if (value := getattr(self, setting)) != getattr(type(self), setting):
                raise ValueError(f"views and {setting} are both given: put {as_view.format(value)} into views")
        return tuple(parse_part("view", VIEWS, spec) for spec in self.views)

    @cached_property
    def direction_part(self) -> Direction:
        """The direction."""
        return parse_part("direction", DIRECTIONS, self.direction)

    @cached_property
    def loss_part(self) -> Loss:
        """The loss."""
        return parse_part("loss", LOSSES, self.loss)

    @cached_property
    def backward_part(self) -> Backward:
        """The way back through the surrogate."""
        return parse_part("backward", BACKWARD, self.backward)

    @cached_property
    def update_part(self) -> Update:
        """The update."""
        return parse_part("update", UPDATES, self.update)

    @property
    def look_ahead(self) -> bool:
        """Whether the gradient is taken at the look-ahead point, by either setting that says so."""
        return self.nesterov or self.direction_part.look_ahead

    @property
    def copies(self) -> int:
        """Number of copies that the views make of an image."""
        return prod(view.copies for view in self.view_parts)

    @property
    def copies_seen(self) -> int:
        """Number of copies that a gradient sees."""
        return self.copies if self.copies_a_step is None else self.copies_a_step

    @property
    def varies(self) -> bool:
        """Whether the gradients of a step see an image differently, by the views' random numbers."""
        return any(view.varies for view in self.view_parts)

    @property
    def passes(self) -> int:
        """Forward and backward passes that an image takes: T * E * K, for E gradients a step.

        A pass of the whole ensemble counts as one, as does that of one member where a direction asks single members;
        those of all members in turn (common weakness) count as one together. Few directions spare some gradients.
        """
        steps = self.warm_up_steps + self.steps
        gradients = steps * self.direction_part.gradients - self.direction_part.spared(self.varies)
        return gradients * self.copies_seen

    def describe(self) -> dict[str, Any]:
        """Return every setting as plain values, parts with all options; what came later only where it is used."""
        described = asdict(self)
        if self.views is not None:
            described["views"] = [describe_part(VIEWS, view) for view in self.view_parts]
        for name, table in (("direction", DIRECTIONS), ("loss", LOSSES), ("backward", BACKWARD), ("update", UPDATES)):
            default, part = getattr(type(self), name), getattr(self, f"{name}_part")
            described[name] = default if part == table[default]() else describe_part(table, part)
        unused = {name for name in _LATER if described[name] == getattr(type(self), name)}
        return {name: value for name, value in described.items() if name not in unused}

    def view_suffixes(self) -> list[str]:
        """Return what sets each view's random numbers apart from those of earlier views of its kind."""
        seen: Counter[type] = Counter()
        suffixes = []
        for view in self.view_parts:
            seen[type(view)] += 1
            suffixes.append("" if seen[type(view)] == 1 else f" {seen[type(view)]}")
        return suffixes


#: The lowest and highest value of the settings that have a range.
BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, inf),
    "step_factor": (0, inf),
    "scale_copies": (1, inf),
    "momentum": (0, inf),
    "diversity_probability": (0, 1),
    "warm_up_steps": (0, inf),
    "warm_up_factor": (0, inf),
}
