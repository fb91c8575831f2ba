"""The gradient-sign family: one loop serves FGSM and everything up to SI-NI-TI-DIM.

The loop follows algorithm 2 of Lin et al. (ICLR 2020), whose steps the comments name. A named attack is a row of
:class:`GradientSignSettings`, not a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from lit_adv.attacks.base import SurrogateAttack, default_keys, require_gradients
from lit_adv.attacks.budget import parse_eps, project, random_start
from lit_adv.attacks.diversity import Axis, Interpolation, diverse_input, draw_axes
from lit_adv.attacks.kernel import convolve, gaussian_kernel
from lit_adv.attacks.objective import LabelSource, Target, cross_entropy
from lit_adv.attacks.scale import ZERO, CopyOrder, ScaleSpace, drawn_factors, factors_in_turn, scale_copy
from lit_adv.randomness import keyed_uniform

GradientNorm = Literal["mean_abs", "l1"]


@dataclass(frozen=True, kw_only=True)
class GradientSignSettings:
    """What one attack of the family is made of. Defaults are the paper's (section 4.1).

    Attributes:
        eps: L-infinity budget in units of [0, 1]; a number or a fraction such as ``"16/255"``.
        steps: Iterations T.
        step_size: Step alpha in units of [0, 1]; eps / T by default.
        momentum: Decay factor mu of the accumulated gradient (MI; eq. 3).
        nesterov: Whether the gradient is taken at the look-ahead point (NI; eq. 6).
        scale_copies: Number m of scale copies (SI; eq. 9).
        copies_a_step: Number K of them that a step sees; None for all, as in the paper. The attack then takes T * K
            passes of the surrogate in place of T * m.
        copy_order: Which K: all copies take turns (``in_turn``), or K are drawn for each image and step (``drawn``).
        scale_space: Where copies fade to: mid-grey (``inception``, the authors' code) or black (``unit``).
        diversity_probability: Probability p of the diverse input (DIM).
        interpolation: Of the diverse input's resizings.
        kernel_size: Side of the translation kernel W (TIM); 0 for none.
        gradient_norm: What divides the gradient. The paper prints the L1 norm, a sum over some 10^5 values; the
            look-ahead ``alpha * mu * g`` is then about 10^-5 of a step and Nesterov does nothing. The authors'
            code divides by the mean absolute value (``mean_abs``); ``l1`` gives the literal text.
        random_start: Whether to start at a uniform point of the budget (PGD).
        label_source: The true label, or the surrogate's prediction for the clean image (the authors' code).
        target: None for untargeted; ``given``, ``least_likely`` or ``random`` minimizes the loss to that class.
        seed: Seed of all random numbers.
    """

    eps: float | str = 16 / 255
    steps: int = 10
    step_size: float | str | None = None
    momentum: float = 1.0
    nesterov: bool = False
    scale_copies: int = 1
    copies_a_step: int | None = None
    copy_order: CopyOrder = "in_turn"
    scale_space: ScaleSpace = "inception"
    diversity_probability: float = 0.0
    interpolation: Interpolation = "nearest"
    kernel_size: int = 0
    gradient_norm: GradientNorm = "mean_abs"
    random_start: bool = False
    label_source: LabelSource = "true"
    target: Target | None = None
    seed: int = 0

    @property
    def copies_seen(self) -> int:
        """Number of scale copies that a step sees."""
        return self.scale_copies if self.copies_a_step is None else self.copies_a_step

    @property
    def passes(self) -> int:
        """Forward and backward passes of the surrogate that an image takes, T * K."""
        return self.steps * self.copies_seen


class GradientSignAttack(SurrogateAttack):
    """Any attack of the gradient-sign family on one surrogate; see :class:`SurrogateAttack` for the arguments."""

    def __init__(self, model: nn.Module, settings: GradientSignSettings) -> None:
        bounds = {"steps": (1, inf), "scale_copies": (1, inf), "momentum": (0, inf), "diversity_probability": (0, 1)}
        super().__init__(model, settings, **bounds)
        self.settings = settings
        if not 1 <= settings.copies_seen <= settings.scale_copies:
            raise ValueError(f"copies_a_step is {settings.copies_seen}, but must be in [1, {settings.scale_copies}]")
        self.eps = parse_eps(settings.eps)
        self.step_size = self.eps / settings.steps if settings.step_size is None else parse_eps(settings.step_size)
        self._kernel = gaussian_kernel(settings.kernel_size) if settings.kernel_size else None

    @property
    def passes(self) -> int:
        """See :attr:`GradientSignSettings.passes`."""
        return self.settings.passes

    def forward(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Attack a batch; see :class:`lit_adv.attacks.Attack`.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].
            keys: The samples' keys.

        Returns:
            Float [B, 3, H, W] in [0, 1], within ``eps`` of ``images``.

        Raises:
            RuntimeError: Inside ``torch.inference_mode``.
            ValueError: If there is not one key for each image.
        """
        require_gradients()
        keys, settings = default_keys(images, keys), self.settings
        goal = self.goal_labels(images, labels, keys)
        views, factors = self._draw_views(images, keys), self._choose_copies(images, keys)
        x = random_start(images, self.eps, settings.seed, keys) if settings.random_start else images
        g = torch.zeros_like(images)
        for t in range(settings.steps):
            x_nes = x + self.step_size * settings.momentum * g if settings.nesterov else x  # eq. 6
            gradient = self._gradient(x_nes, goal, views[t], factors[t])  # steps 6 to 9
            if self._kernel is not None:
                with torch.autocast(images.device.type, enabled=False):
                    gradient = convolve(gradient, self._kernel)  # step 10
            g = settings.momentum * g + normalize(gradient, settings.gradient_norm)  # step 11, eq. 7
            x = project(x + self.step_size * g.sign(), images, self.eps)  # step 12, eq. 8
        return x

    def _gradient(
        self,
        x_nes: Tensor,
        labels: Tensor,
        views: Sequence[tuple[Axis, Axis] | None],
        factors: Sequence[float | Tensor],
    ) -> Tensor:
        """Average the gradient over the step's scale copies, each seen through its own diverse input."""
        total = torch.zeros_like(x_nes)
        zero = ZERO[self.settings.scale_space]
        # D and S_i are linear about the same zero, so they commute; both work on the image centered there.
        centered = x_nes - zero if zero else x_nes
        for view, factor in zip(views, factors, strict=True):
            with torch.enable_grad():
                x = centered.detach().requires_grad_()
                seen = x if view is None else diverse_input(x, view, self.settings.interpolation)
                loss = cross_entropy(self.model, scale_copy(seen, factor, zero), labels)
                total += torch.autograd.grad(loss, x)[0]
        return total / (-len(views) if self.targeted else len(views))

    def _choose_copies(self, images: Tensor, keys: Sequence[str]) -> Sequence[Sequence[float | Tensor]]:
        """Return by what the copies of every step are scaled: [steps][copies_seen]."""
        settings = self.settings
        shape = {"steps": settings.steps, "copies": settings.scale_copies, "a_step": settings.copies_seen}
        if settings.copy_order == "in_turn":
            return factors_in_turn(**shape)
        return drawn_factors(images, keys, settings.seed, **shape)

    def _draw_views(self, images: Tensor, keys: Sequence[str]) -> Sequence[Sequence[tuple[Axis, Axis] | None]]:
        """Draw the diverse input of every step and copy: [steps][copies_seen]."""
        steps, copies, p = self.settings.steps, self.settings.copies_seen, self.settings.diversity_probability
        if p == 0:
            return [[None] * copies] * steps
        uniform = keyed_uniform(self.settings.seed, "input diversity", keys, steps, copies, 4).to(images.device)
        height, width = images.shape[-2:]
        return [[draw_axes(uniform[:, t, i], height, width, p) for i in range(copies)] for t in range(steps)]


def normalize(gradient: Tensor, norm: GradientNorm) -> Tensor:
    """Divide each image's gradient by its size (step 11 of algorithm 2); a zero gradient stays zero.

    Args:
        gradient: Float [B, C, H, W].
        norm: ``mean_abs`` or ``l1``.

    Returns:
        Float [B, C, H, W].
    """
    absolute = gradient.abs()
    size = (absolute.mean if norm == "mean_abs" else absolute.sum)(dim=(1, 2, 3), keepdim=True)
    return gradient / torch.where(size == 0, 1, size)
