"""Depthwise convolutions whose backward pass is fast on a CPU under bfloat16 autocast.

oneDNN has no fast path for two of their gradients in bfloat16: to the input where the stride is above 1, and to the
weights where the kernel is larger than 3 x 3. Both are several times as fast in float32, which costs little otherwise,
since depthwise convolutions are few operations. On EfficientNet-Lite0 these gradients are half of a backward pass.
"""

from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn


class InFloat32:
    """Leaves autocast on a CPU where a slow gradient would be needed; comes before a class of convolutions."""

    def forward(self: Any, images: Tensor) -> Tensor:
        """Convolve as the class behind does."""
        convolve = super().forward  # type: ignore[misc]
        if not (_on_autocast(images) and _has_slow_gradient(self, images)):
            result: Tensor = convolve(images)
            return result
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            # Image by image, so that the wider numbers stay in the cache.
            return torch.cat([convolve(image.float()).to(dtype) for image in torch.split(images, 1)])


class DepthwiseConv2d(InFloat32, nn.Conv2d):
    """See :func:`hasten_depthwise`."""


class DepthwiseConv2dSame(InFloat32, Conv2dSame):  # type: ignore[misc]  # timm has no types
    """See :func:`hasten_depthwise`."""


_IN_FLOAT32: dict[type[nn.Conv2d], type[nn.Conv2d]] = {nn.Conv2d: DepthwiseConv2d, Conv2dSame: DepthwiseConv2dSame}


def hasten_depthwise(model: nn.Module) -> None:
    """Let depthwise convolutions with slow gradients run in float32 where that is faster.

    Parameters and their names, and whatever is computed without autocast or without gradients, stay as they are.

    Args:
        model: Changed in place.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels and type(module) in _IN_FLOAT32:
            # As torch's parametrizations do it: parameters, buffers and hooks belong to the instance.
            module.__class__ = _IN_FLOAT32[type(module)]


def _on_autocast(images: Tensor) -> bool:
    return images.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def _has_slow_gradient(conv: nn.Conv2d, images: Tensor) -> bool:
    if not torch.is_grad_enabled():
        return False
    strided, large = max(conv.stride) > 1, max(conv.kernel_size) > 3
    return (images.requires_grad and strided) or (conv.weight.requires_grad and large)
