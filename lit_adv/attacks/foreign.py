"""Attacks of other libraries behind this package's protocol."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lit_adv.attacks.base import default_keys, require_gradients
from lit_adv.attacks.lent_model import PlainModel, lent
from lit_adv.attacks.libraries import Built, build
from lit_adv.errors import MendableError
from lit_adv.randomness import keyed_generator


class ForeignAttackError(MendableError):
    """An attack of another library failed; the message names it and says why."""


class ForeignAttack(nn.Module):
    """An untargeted attack of torchattacks, foolbox or a library with a like interface.

    It is handed contiguous float32 images and a model that returns float32 logits; autocast stays inside the model,
    which is in eval mode and without gradients to its weights meanwhile and as it was afterwards. The attack draws from
    the global random states of torch, NumPy and Python, which are seeded from the batch's keys: the same batch gives
    the same images, but an image depends on the batch it sits in.

    Args:
        path: The class, for instance ``torchattacks.PGD`` (called with the model) or ``foolbox.attacks.LinfPGD``.
        model: The surrogate.
        **options: Arguments of the class; a fraction such as ``"8/255"`` counts as a number. foolbox's attacks take
            their budget as ``eps``, too.

    Attributes:
        eps: The budget if it is one in L-infinity, else None: a budget in another norm bounds no single pixel.
        norm: What the attack measures a change by, such as ``L2``; None if that is not known.

    Raises:
        ValueError: If there is no such class, it does not take the options, or it cannot be run here.
    """

    targeted = False

    def __init__(self, path: str, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.path = path
        self.model = model
        self.options = options
        self._plain = PlainModel(model)
        self._built: dict[torch.device, Built] = {}
        # Built once to find mistakes early, and again where the images are: libraries remember the model's device.
        built = self._build(torch.device("cpu"))
        self.norm = built.norm
        self.eps = built.eps if built.norm == "Linf" else None

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
            Float32 [B, 3, H, W]; pixels may be no finite numbers where the attack went wrong.

        Raises:
            ForeignAttackError: If the attack fails or returns something else.
        """
        require_gradients()
        device = images.device
        autocast = torch.is_autocast_enabled(device.type)
        self._plain.autocast_dtype = torch.get_autocast_dtype(device.type) if autocast else None
        seed = keyed_generator(0, self.path, "\0".join(default_keys(images, keys))).integers(2**63)
        clean = images.to(torch.float32, memory_format=torch.contiguous_format)
        with lent(self._plain), _seeded(int(seed), device), torch.autocast(device.type, enabled=False):
            try:
                made = self._build(device).run(clean, labels)
            except Exception as error:
                raise ForeignAttackError(f"attack {self.path!r} failed: {type(error).__name__}: {error}") from error
        if not isinstance(made, Tensor) or made.shape != images.shape:
            found = f"of shape {list(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            wanted = f"images of shape {list(images.shape)}"
            raise ForeignAttackError(f"attack {self.path!r} returned no {wanted} but {found}")
        return made.detach().to(device, torch.float32)

    def goal_labels(self, images: Tensor, labels: Tensor, keys: Sequence[str] | None = None) -> Tensor:
        """Return ``labels``."""
        return labels

    def _build(self, device: torch.device) -> Built:
        if device not in self._built:
            with lent(self._plain):
                self._built[device] = build(self.path, self._plain, self.options, device)
        return self._built[device]


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global random states of torch, NumPy and Python, and set them back afterwards; keep gradients on."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
