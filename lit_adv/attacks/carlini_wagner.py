"""The C&W attack: the smallest L2 perturbation that changes the decision (Carlini & Wagner, 2017).

In tanh space the box constraint disappears: x' = (tanh(w) + 1) / 2. For a constant c, Adam minimizes

    |x' - x|^2 + c * max(Z(x')_y - max_{k != y} Z(x')_k, -confidence)

and a binary search over c, separate for each image, keeps the smallest perturbation that succeeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from lit_adv.attacks.base import SurrogateAttack, require_gradients
from lit_adv.attacks.objective import LabelSource, Target

#: Keeps arctanh finite at black and white pixels.
_TANH_MARGIN = 1 - 1e-6
#: The range of what must be positive: float32 rounds none of it, nor ten times it, to zero or infinity.
_POSITIVE = (1e-30, 1e30)
#: The lowest and highest value of the settings that have a range.
CARLINI_WAGNER_BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, inf),
    "search_steps": (1, inf),
    "learning_rate": _POSITIVE,
    "initial_constant": _POSITIVE,
    "confidence": (0, inf),
}


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerSettings:
    """Settings of C&W; defaults are the original's, with fewer iterations.

    Attributes:
        steps: Adam iterations for each constant.
        search_steps: Rounds of the binary search over c.
        learning_rate: Adam's step in tanh space.
        initial_constant: First c.
        confidence: How far, in logits, the wrong class must lead.
        label_source: The true label, or the surrogate's prediction for the clean image.
        target: None for untargeted; ``given``, ``least_likely`` or ``random`` to reach that class.
        seed: Seed of random targets.
    """

    steps: int = 1000
    search_steps: int = 9
    learning_rate: float = 0.01
    initial_constant: float = 1e-3
    confidence: float = 0.0
    label_source: LabelSource = "true"
    target: Target | None = None
    seed: int = 0

    @property
    def passes(self) -> int:
        """Forward and backward passes of the surrogate that an image takes."""
        return self.steps * self.search_steps


class CarliniWagnerAttack(SurrogateAttack):
    """C&W in the L2 norm; see :class:`SurrogateAttack` for the arguments. It has no L-infinity budget."""

    eps = None

    def __init__(self, model: nn.Module, settings: CarliniWagnerSettings) -> None:
        super().__init__(model, settings, **CARLINI_WAGNER_BOUNDS)
        self.settings = settings

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        keys: Sequence[str] | None = None,
        true_labels: Tensor | None = None,
    ) -> Tensor:
        """Attack a batch; see :class:`lit_adv.attacks.Attack`.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].
            keys: The samples' keys.
            true_labels: Not used.

        Returns:
            Float [B, 3, H, W] in [0, 1]; an image for which the search fails comes back unchanged.

        Raises:
            RuntimeError: Inside ``torch.inference_mode``.
        """
        require_gradients()
        goal = self.goal_labels(images, labels, keys)
        constant = torch.full((len(images),), self.settings.initial_constant, device=images.device)
        lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
        best, best_distance = images.clone(), torch.full_like(constant, torch.inf)
        for _ in range(self.settings.search_steps):
            found, distance = self._minimize(images, goal, constant)
            succeeded, better = distance.isfinite(), distance < best_distance
            best, best_distance = _where(better, found, best), torch.where(better, distance, best_distance)
            upper = torch.where(succeeded, torch.minimum(upper, constant), upper)
            lower = torch.where(succeeded, lower, torch.maximum(lower, constant))
            # Ten times more until a constant succeeds, then halve the interval.
            constant = torch.where(upper.isinf(), lower * 10, (lower + upper) / 2)
        return best

    @torch.enable_grad()  # type: ignore[untyped-decorator,unused-ignore]
    def _minimize(self, images: Tensor, goal: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        """Run Adam for one constant.

        Returns:
            The nearest successful images [B, 3, H, W] and their squared distances [B], infinite without success.
        """
        w = torch.atanh((2 * images - 1) * _TANH_MARGIN).requires_grad_()
        optimizer = torch.optim.Adam([w], lr=self.settings.learning_rate)
        found, nearest = images.clone(), torch.full_like(constant, torch.inf)
        for _ in range(self.settings.steps):
            x = (torch.tanh(w) + 1) / 2
            distance = (x - images).square().sum(dim=(1, 2, 3))
            margin = self._margin(x, goal)
            loss = distance + constant * margin.clamp(min=-self.settings.confidence)
            (w.grad,) = torch.autograd.grad(loss.sum(), w)
            better = (margin < -self.settings.confidence) & (distance < nearest)
            found, nearest = _where(better, x.detach(), found), torch.where(better, distance.detach(), nearest)
            optimizer.step()
        return found, nearest

    def _margin(self, x: Tensor, goal: Tensor) -> Tensor:
        """Return by how much the attack still fails, in logits [B]; negative once it succeeds."""
        logits: Tensor = self.model(x).float()
        of_goal = logits.gather(1, goal[:, None])[:, 0]
        of_others = logits.scatter(1, goal[:, None], -torch.inf).amax(1)
        return of_others - of_goal if self.targeted else of_goal - of_others


def _where(chosen: Tensor, images: Tensor, others: Tensor) -> Tensor:
    """Take the chosen images, and others for the rest; unlike indexing by a mask, no GPU is waited for."""
    return torch.where(chosen[:, None, None, None], images, others)
