"""Attacks on a model that is being trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_adv.attacks.lent_model import eval_mode
from lit_adv.attacks.registry import create_attack, describe_attack, list_attacks


class LiveAttack:
    """An attack that is to be run again and again on a model whose weights change.

    The model is attacked in eval mode: dropout does not blur the gradient, and batch normalization neither mixes the
    images of a batch nor takes the attack's steps into its statistics. The weights get no gradient.

    Args:
        name: One of :func:`lit_adv.attacks.list_attacks`.
        options: Settings that differ from the named attack's; all but the seed, which each call brings.

    Attributes:
        settings: Every setting of the attack, by name.

    Raises:
        ValueError: If the name, an option or its value is unknown.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.options = dict(options or {})
        if name not in list_attacks() or "seed" in self.options or self.options.get("target") == "given":
            raise ValueError(
                f"a model in training can be attacked with {', '.join(list_attacks())}, and with neither a seed nor "
                f"given targets, not with {name!r} and {self.options}"
            )
        self.settings = describe_attack(name, **self.options)
        create_attack(name, nn.Identity(), **self.options)  # checks the values

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Attack a batch.

        Args:
            model: Maps [0, 1] images [B, 3, H, W] to logits; left in the modes that it is in.
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B], the true classes.
            keys: The B samples' keys.
            seed: All randomness is drawn from it and the keys.

        Returns:
            Adversarial images, float [B, 3, H, W] in [0, 1].
        """
        with eval_mode(model):
            adversarial = create_attack(self.name, model, **self.options, seed=seed)(images, labels, keys).detach()
        # Older releases of torch go on using a weight that autocast has cast without gradients, which trains nothing.
        torch.clear_autocast_cache()
        return adversarial
