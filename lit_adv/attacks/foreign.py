"""Attacks of other libraries behind this package's protocol."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_adv.attacks.base import require_gradients
from lit_adv.attacks.budget import parse_eps


class ForeignAttack(nn.Module):
    """An attack of torchattacks, foolbox or any library with a like interface.

    Such an attack draws from the global random state, not from the samples' keys, and may depend on the batch.

    Args:
        attack: Called as ``attack(images, labels)``; returns adversarial images in [0, 1].
        eps: L-infinity budget in units of [0, 1] that its images are held to; None for no such budget.
    """

    targeted = False

    def __init__(self, attack: Callable[[Tensor, Tensor], Tensor], eps: float | None) -> None:
        super().__init__()
        self.attack = attack
        self.eps = eps

    @classmethod
    def from_class_path(cls, path: str, model: nn.Module, **options: Any) -> "ForeignAttack":
        """Build the attack named by a class path.

        Args:
            path: For instance ``torchattacks.PGD`` (called with the model) or ``foolbox.attacks.LinfPGD``
                (whose budget is the option ``eps``).
            model: The surrogate.
            **options: Arguments of the class; ``eps`` may be a fraction such as ``"8/255"``.

        Returns:
            The wrapped attack.

        Raises:
            ValueError: If there is no such class, or it does not take the options.
        """
        module_name, _, class_name = path.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"cannot import the attack {path!r}: {error}; is its package installed?") from error
        if "eps" in options:
            options["eps"] = parse_eps(options["eps"])
        try:
            if module_name.split(".")[0] == "foolbox":
                return cls._from_foolbox(kind, model, **options)
            attack = kind(model, **options)
        except TypeError as error:
            raise ValueError(f"attack {path!r}: {error}") from error
        return cls(attack, options.get("eps", getattr(attack, "eps", None)))

    @classmethod
    def _from_foolbox(
        cls, kind: type, model: nn.Module, *, eps: float | None = None, **options: Any
    ) -> "ForeignAttack":
        import foolbox

        attack, wrapped = kind(**options), foolbox.PyTorchModel(model, bounds=(0, 1))

        def run(images: Tensor, labels: Tensor) -> Tensor:
            adversarial: Tensor = attack.run(wrapped, images, labels, epsilon=eps)
            return adversarial

        return cls(run, eps)

    def forward(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Attack a batch; see :class:`lit_adv.attacks.Attack`. The keys are not used."""
        require_gradients()
        with torch.enable_grad():
            return self.attack(images, labels).detach()

    def goal_labels(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Return ``labels``."""
        return labels
