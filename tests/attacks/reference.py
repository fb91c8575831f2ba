"""The gradient-sign family once more, as a plain loop over images in float64.

Written from the algorithm's text, independent of the package: no batches, no precomputed maps, and every step a
call of numpy, scipy or torch.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d
from scipy.stats import norm
from torch import Tensor, nn


@dataclass
class View:
    """One random view: resize to ``size`` x ``size``, pad at ``top``, ``left``."""

    size: int
    top: int
    left: int


def diverse_input(image: Tensor, view: View | None, fill: float, mode: str) -> Tensor:
    """Resize [3, H, H], pad to side round(H * 331 / 299), resize back: three library calls."""
    if view is None:
        return image
    side = image.shape[-1]
    canvas = round(side * 331 / 299)
    resized = F.interpolate(image[None], (view.size, view.size), mode=mode)
    right, bottom = canvas - view.size - view.left, canvas - view.size - view.top
    padded = F.pad(resized, (view.left, right, view.top, bottom), value=fill)
    return F.interpolate(padded, (side, side), mode=mode)[0]


def convolve(gradient: np.ndarray, size: int) -> np.ndarray:
    """Convolve each channel with the normal density sampled over [-3, 3]; zeros outside."""
    density = norm.pdf(np.linspace(-3, 3, size))
    kernel = np.outer(density, density)
    return np.stack([convolve2d(channel, kernel / kernel.sum(), mode="same") for channel in gradient])


def gradient_sign(
    network: nn.Module,
    image: np.ndarray,
    label: int,
    *,
    eps: float = 16 / 255,
    steps: int = 10,
    step_size: float | None = None,
    momentum: float = 1.0,
    nesterov: bool = False,
    scale_copies: int = 1,
    copies: list[list[int]] | None = None,
    zero: float = 0.5,
    views: list[list[View | None]] | None = None,
    mode: str = "nearest",
    kernel_size: int = 0,
    l1: bool = False,
    start: np.ndarray | None = None,
    sign: int = 1,
) -> np.ndarray:
    """Attack one image, [3, H, W] in float64. ``copies`` holds the indices of the copies that each step sees."""
    alpha = eps / steps if step_size is None else step_size
    x, g = (image if start is None else start).copy(), np.zeros_like(image)
    for t in range(steps):
        x_nes = x + alpha * momentum * g if nesterov else x
        gradient = np.zeros_like(image)
        seen_now = list(range(scale_copies)) if copies is None else copies[t]
        for j, i in enumerate(seen_now):
            leaf = torch.from_numpy(x_nes).requires_grad_()
            scaled = zero + (leaf - zero) / 2**i
            seen = diverse_input(scaled, views[t][j] if views else None, zero, mode)
            loss = -network(seen[None]).log_softmax(1)[0, label]
            gradient += torch.autograd.grad(loss, leaf)[0].numpy()
        gradient *= sign / len(seen_now)
        if kernel_size:
            gradient = convolve(gradient, kernel_size)
        size = np.abs(gradient).sum() if l1 else np.abs(gradient).mean()
        g = momentum * g + (gradient / size if size > 0 else gradient)
        x = np.clip(x + alpha * np.sign(g), image - eps, image + eps).clip(0, 1)
    return x


def tensor_attack(network: nn.Module, images: Tensor, labels: Tensor, **settings: object) -> Tensor:
    """Attack each image of a batch alone. ``views``, ``copies`` and ``start`` hold one entry for each image."""
    views = settings.pop("views", None)
    copies = settings.pop("copies", None)
    starts = settings.pop("start", None)
    results = [
        gradient_sign(
            network,
            image.numpy(),
            int(label),
            views=None if views is None else views[b],
            copies=None if copies is None else copies[b],
            start=None if starts is None else starts[b].numpy(),
            **settings,
        )
        for b, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    return torch.from_numpy(np.stack(results))
