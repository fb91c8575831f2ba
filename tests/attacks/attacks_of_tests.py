"""Attacks as another library might have them, named as ``tests.attacks.attacks_of_tests.<class>``."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Step:
    """One step of the gradient's sign, taken as careless libraries do; keeps what it saw."""

    seen: dict[str, Any] = {}  # noqa: RUF012 - for the test to read

    def __init__(self, model: nn.Module, eps: float = 4 / 255, alpha: float = 0.5, range: Any = None) -> None:
        self.model, self.eps = model, eps
        Step.seen = {"alpha": alpha, "range": range}

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        leaf = images.detach().requires_grad_()
        logits = self.model(leaf)
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), leaf)
        Step.seen |= {
            "images": images,
            "logits": logits,
            "gradient": gradient.view(len(images), -1),  # fails in the channels_last layout
            "modes": [module.training for module in self.model.modules()],
            "wants_gradients": [parameter.requires_grad for parameter in self.model.parameters()],
            "matmul": (torch.eye(2) @ torch.eye(2)).dtype,  # of the attack's own arithmetic
        }
        return (images + self.eps * gradient.sign()).clamp(0, 1)


class StepL2(Step):
    """The same with a budget in L2."""


class Noise:
    """Noise of three libraries' generators."""

    def __init__(self, model: nn.Module, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        noise = torch.rand(()) + np.random.rand() + random.random() + (torch.nan if self.seed is None else self.seed)
        return images + noise / 10


class Broken:
    """Returns NaN for the first image, the second as it came, and pixels far beyond [0, 1] for all others."""

    def __init__(self, model: nn.Module) -> None:
        pass

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        made = images.clone()
        made[0, 0, 0, 0] = torch.nan
        made[2:] = 1000.0
        return made


class Misshapen:
    """Returns no images."""

    def __init__(self, model: nn.Module) -> None:
        pass

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        return labels


class Failing(Misshapen):
    """Fails, and leaves the model in another state."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        self.model.train().requires_grad_(True)
        raise IndexError("list index out of range")
