"""Average pools that leave the padding out, as TensorFlow's do.

timm's Inception-v3 counts the padding among the nine pixels that an average pool divides by. Weights that were trained
in TensorFlow (``tf_in1k`` and ``tf_adv_in1k`` among timm's own) are for pools that do not: on the border of a map timm
gives 6/9 of their value, in a corner 4/9.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: What timm's Inception-v3 calls the convolution that reads an average pool.
_BRANCH = "branch_pool"


def exclude_padding(network: nn.Module) -> None:
    """Let the average pools of timm's Inception-v3 leave the padding out.

    The maps are enlarged by what the pool will take off. Weights and their names stay as they are, and copies of the
    network and folding batch normalizations keep the change.

    Args:
        network: Changed in place; a second time changes nothing.

    Raises:
        ValueError: If the network has no such pools.
    """
    branches = [module for name, module in network.named_modules() if name.rpartition(".")[2] == _BRANCH]
    if not branches:
        raise ValueError(f"{type(network).__name__} has no average pools of timm's Inception-v3")
    for branch in branches:
        if _rescale not in branch._forward_pre_hooks.values():
            branch.register_forward_pre_hook(_rescale)


def include_padding(network: nn.Module) -> None:
    """Undo :func:`exclude_padding`; changes nothing where that was not done."""
    for module in network.modules():
        for number, hook in list(module._forward_pre_hooks.items()):
            if hook is _rescale:
                del module._forward_pre_hooks[number]


def _rescale(module: nn.Module, arguments: Any) -> tuple[Tensor]:
    """Divide what a pool averaged over nine pixels by the share of the nine that lie within the map."""
    (maps,) = arguments
    return (maps / F.avg_pool2d(torch.ones_like(maps[:1, :1]), 3, 1, 1),)
