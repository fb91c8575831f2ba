"""Averages of weights."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def interpolate(model: Module, start: nn.Module, start_weight: float) -> Module:
    """Average a fine-tuned model's weights with those that it started from (WiSE-FT; Wortsman et al., CVPR 2022).

    Args:
        model: The fine-tuned model.
        start: The same network with the weights it started from.
        start_weight: Weight of ``start``, in [0, 1].

    Returns:
        A new model. Statistics of batch normalizations are averaged, too; counters are those of ``model``.
    """
    averaged = deepcopy(model)
    for value, origin in zip(averaged.state_dict().values(), start.state_dict().values(), strict=True):
        if value.is_floating_point():
            value.lerp_(origin, start_weight)
    return averaged
