"""Attacks of other libraries behind this package's protocol."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_adv.attacks.base import default_keys, require_gradients
from lit_adv.attacks.budget import parse_eps
from lit_adv.randomness import keyed_generator

Runner = Callable[[Tensor, Tensor], Tensor]


class ForeignAttack(nn.Module):
    """An L-infinity attack of torchattacks, foolbox or a library with a like interface.

    Such an attack draws from torch's global random state, which is seeded from the batch's keys: the same batch gives
    the same images, but an image depends on the batch it sits in.

    Args:
        path: The class, for instance ``torchattacks.PGD`` (called with the model) or ``foolbox.attacks.LinfPGD``.
        model: The surrogate.
        **options: Arguments of the class; ``eps``, the budget, may be a fraction such as ``"8/255"``.

    Raises:
        ValueError: If there is no such class, or it does not take the options.
    """

    targeted = False

    def __init__(self, path: str, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.path = path
        self.model = model
        if "eps" in options:
            options["eps"] = parse_eps(options["eps"])
        self.options = options
        # Built once to find mistakes early, and again where the images are: libraries remember the model's device.
        runner, self.eps = _build(path, model, options, torch.device("cpu"))
        self._runners: dict[torch.device, Runner] = {torch.device("cpu"): runner}

    def forward(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Attack a batch; see :class:`lit_adv.attacks.Attack`.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].
            keys: The samples' keys.

        Returns:
            Float [B, 3, H, W] in [0, 1].
        """
        require_gradients()
        if images.device not in self._runners:
            self._runners[images.device], _ = _build(self.path, self.model, self.options, images.device)
        seed = keyed_generator(0, self.path, "\0".join(default_keys(images, keys))).integers(2**63)
        with torch.random.fork_rng([images.device] if images.is_cuda else []), torch.enable_grad():
            torch.manual_seed(int(seed))
            return self._runners[images.device](images, labels).detach()

    def goal_labels(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Return ``labels``."""
        return labels


def _build(path: str, model: nn.Module, options: dict[str, Any], device: torch.device) -> tuple[Runner, float | None]:
    """Return the attack as a function of images and labels, and its budget."""
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import the attack {path!r}: {error}; is its package installed?") from error
    try:
        if module_name.split(".")[0] == "foolbox":
            return _build_foolbox(kind, model, device, **options)
        attack = kind(model, **options)
    except TypeError as error:
        raise ValueError(f"attack {path!r}: {error}") from error
    if hasattr(attack, "set_device"):  # torchattacks takes the device that the model is on now
        attack.set_device(device)
    return attack, options.get("eps", getattr(attack, "eps", None))


def _build_foolbox(
    kind: type, model: nn.Module, device: torch.device, *, eps: float | None = None, **options: Any
) -> tuple[Runner, float | None]:
    import foolbox

    attack, wrapped = kind(**options), foolbox.PyTorchModel(model, bounds=(0, 1), device=device)

    def run(images: Tensor, labels: Tensor) -> Tensor:
        adversarial: Tensor = attack.run(wrapped, images, labels, epsilon=eps)
        return adversarial

    return run, eps
