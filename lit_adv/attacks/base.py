"""What an attack is."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lit_adv.attacks.checks import check_range, check_types
from lit_adv.attacks.objective import LabelSource, Target, select_labels


class Attack(Protocol):
    """Anything that turns images into adversarial images."""

    @property
    def eps(self) -> float | None:
        """L-infinity budget in units of [0, 1]; None for an attack without one (C&W minimizes L2 instead)."""
        ...

    @property
    def targeted(self) -> bool:
        """Whether the attack drives images towards a class rather than away from one."""
        ...

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        keys: Sequence[str] | None = None,
        true_labels: Tensor | None = None,
    ) -> Tensor:
        """Attack a batch.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B], the true classes (the wanted classes if the attack's target is ``given``).
            keys: The samples' keys, which all randomness is drawn from; the positions in the batch by default.
            true_labels: int64 [B], the true classes where ``labels`` are the wanted ones; parts that need them take
                the surrogate's predictions by default.

        Returns:
            Adversarial images, float [B, 3, H, W] in [0, 1].
        """
        ...

    def goal_labels(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Return the classes, int64 [B], that the attack drives away from or, if targeted, towards."""
        ...


class GoalSettings(Protocol):
    """The settings that decide which class an attack pushes away from or towards."""

    @property
    def label_source(self) -> LabelSource:
        """The true label, or the surrogate's prediction for the clean image."""
        ...

    @property
    def target(self) -> Target | None:
        """How a targeted attack chooses its class; None for an untargeted attack."""
        ...

    @property
    def seed(self) -> int:
        """Seed of random targets."""
        ...


class SurrogateAttack(nn.Module):
    """What this package's own attacks share: a surrogate, and a class to push away from or towards.

    Args:
        model: The surrogate; maps [0, 1] images [B, 3, H, W] to logits. It should be in eval mode; its weights need no
            gradient.
        settings: What the attack is made of, a dataclass.
        **bounds: The lowest and highest value of those settings that have a range.

    Raises:
        ValueError: If a setting has another type or is outside its range.
    """

    def __init__(self, model: nn.Module, settings: GoalSettings, **bounds: tuple[float, float]) -> None:
        super().__init__()
        check_types(settings)
        check_range(settings, **bounds)
        self.model = model
        self._goal = settings
        self.targeted = settings.target is not None

    def goal_labels(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Return the classes, int64 [B], that the attack drives away from or, if targeted, towards."""
        return select_labels(
            self.model,
            images,
            labels,
            default_keys(images, keys),
            source=self._goal.label_source,
            target=self._goal.target,
            seed=self._goal.seed,
        )


def default_keys(images: Tensor, keys: Sequence[str] | None) -> Sequence[str]:
    """Return ``keys``, or the positions in the batch where none are given.

    Raises:
        ValueError: If there is not one key for each image.
    """
    if keys is None:
        return [str(position) for position in range(len(images))]
    if len(keys) != len(images):
        raise ValueError(f"{len(images)} images but {len(keys)} keys: give one key for each image")
    return keys


def require_gradients() -> None:
    """Refuse to attack where autograd cannot work.

    Raises:
        RuntimeError: Inside ``torch.inference_mode``, whose tensors can never take part in autograd.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "an attack needs gradients, which torch.inference_mode forbids: "
            "use Trainer(inference_mode=False), or torch.no_grad() in place of torch.inference_mode()"
        )
