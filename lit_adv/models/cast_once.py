"""Frozen weights that autocast casts once, not in every pass.

Autocast keeps what it has cast for the weights that are trained, and casts all others again in each pass.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class CastWeights(NamedTuple):
    """A layer's weights in autocast's type, and what they were made from.

    Attributes:
        weight: In autocast's type.
        bias: Likewise, or None.
        sources: The tensors that were cast, held so that nothing else can lie at their addresses.
        state: Tells whether they are still the layer's.
    """

    weight: Tensor
    bias: Tensor | None
    sources: tuple[Tensor, ...]
    state: tuple[object, ...]


def weights_on_autocast(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weight and bias as its operation is to get them.

    Args:
        layer: Keeps what was cast, outside of its parameters, buffers and state_dict.

    Returns:
        Both in autocast's type if autocast is on and they are frozen, else as they are.
    """
    weight, bias = layer.weight, layer.bias
    device = weight.device.type
    if not torch.is_autocast_enabled(device) or torch.compiler.is_compiling() or not _can_be_kept(weight, bias):
        return weight, bias
    dtype = torch.get_autocast_dtype(device)
    sources = tuple(tensor for tensor in (weight, bias) if tensor is not None)
    # Loading other weights, or training these, raises the version; moving them changes the address.
    state = (dtype, *((tensor.data_ptr(), tensor._version) for tensor in sources))
    kept: CastWeights | None = getattr(layer, "cast_weights", None)
    if kept is None or kept.state != state:
        with torch.inference_mode(False), torch.no_grad():  # inference tensors could not be attacked later
            cast = [tensor.to(dtype) for tensor in sources]
            held = tuple(tensor.detach() for tensor in sources)
        kept = CastWeights(cast[0], cast[1] if len(cast) > 1 else None, held, state)
        layer.cast_weights = kept  # type: ignore[assignment]
    return kept.weight, kept.bias


def _can_be_kept(weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether weights are such as autocast casts, and do not change unseen."""
    return all(
        tensor is None or not (tensor.requires_grad or tensor.dtype != torch.float32 or tensor.is_inference())
        for tensor in (weight, bias)
    )
