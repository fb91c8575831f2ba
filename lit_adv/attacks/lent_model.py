"""A model that is lent to an attack, and comes back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and each of its modules back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def lent(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode without gradients to its weights, and back into its own state afterwards."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with eval_mode(model):
        model.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, flag in flags:
                parameter.requires_grad = flag


class PlainModel(nn.Module):
    """A model as attacks of other libraries expect it: float32 logits, and gradients that lie in memory as images do.

    They take gradients apart with ``view``, which the channels_last layout of fast networks does not allow, and mix
    logits with tensors of their own, which must not be in half precision.

    Args:
        model: Maps [0, 1] images [B, 3, H, W] to logits.

    Attributes:
        autocast_dtype: What the model alone computes in; None for no autocast.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.autocast_dtype: torch.dtype | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: Floating point [B, 3, H, W] in [0, 1].

        Returns:
            Logits, float32 [B, classes].
        """
        images = images.to(torch.float32).clone(memory_format=torch.contiguous_format)
        if images.requires_grad:
            images.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        dtype = self.autocast_dtype
        with torch.autocast(images.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            logits: Tensor = self.model(images)
        return logits.to(torch.float32).contiguous()
