"""From slim's names of layers to modules of the networks here.

A network falls into blocks: a layer of its own, or one of the ``Mixed`` and ``Repeat`` parts. Within a block slim's
names sort in the order in which the network here defines its layers, so the n-th of one side is the n-th of the other.
That takes care of every irregular name, ``Mixed_5c/Branch_1/Conv_1_0c_5x5`` among them.
"""

from collections.abc import Collection, Mapping

from timm.layers import ConvNormAct
from torch import nn

#: What comes before every layer of the auxiliary heads.
AUXILIARY = "AuxLogits"
#: The layer that gives each network's logits.
LOGITS = {
    "inception_v3": "Logits/Conv2d_1c_1x1",
    "inception_v4": "Logits/Logits",
    "inception_resnet_v2": "Logits/Logits",
    "resnet_v2_101": "logits",
}


def _inception_v3() -> dict[str, str]:
    layers = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    rows = ("5", "bcd"), ("6", "abcde"), ("7", "abc")
    mixed = [f"Mixed_{row}{letter}" for row, letters in rows for letter in letters]
    auxiliary = _auxiliary("Conv2d_1b_1x1", "Conv2d_2a_5x5", "Conv2d_2b_1x1")
    return {name: name for name in (*layers, *mixed)} | {LOGITS["inception_v3"]: "fc"} | auxiliary


def _inception_v4() -> dict[str, str]:
    layers = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")
    rows = ("3", "a"), ("4", "a"), ("5", "abcde"), ("6", "abcdefgh"), ("7", "abcd")
    mixed = [f"Mixed_{row}{letter}" for row, letters in rows for letter in letters]
    features = {name: f"features.{position}" for position, name in enumerate((*layers, *mixed))}
    return features | {LOGITS["inception_v4"]: "last_linear"} | _auxiliary("Conv2d_1b_1x1", "Conv2d_2a", "Aux_logits")


def _inception_resnet_v2() -> dict[str, str]:
    names = "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "Conv2d_7b_1x1"
    layers = {name: name.lower().rpartition("_")[0] for name in names}
    mixed = {name: name.lower() for name in ("Mixed_5b", "Mixed_6a", "Mixed_7a", "Block8")}
    repeated = {
        f"{slim}/{block}_{n}": f"{here}.{n - 1}"
        for slim, block, here, count in (
            ("Repeat", "block35", "repeat", 10),
            ("Repeat_1", "block17", "repeat_1", 20),
            ("Repeat_2", "block8", "repeat_2", 9),
        )
        for n in range(1, count + 1)
    }
    head = {LOGITS["inception_resnet_v2"]: "classif"}
    return layers | mixed | repeated | head | _auxiliary("Conv2d_1b_1x1", "Conv2d_2a_5x5", "Logits")


def _resnet_v2_101() -> dict[str, str]:
    units = {
        f"block{block}/unit_{unit}/bottleneck_v2/{layer}": f"block{block}.unit_{unit}.{layer}"
        for block, count in ((1, 3), (2, 4), (3, 23), (4, 3))
        for unit in range(1, count + 1)
        for layer in ("preact", "shortcut", "conv1", "conv2", "conv3")
        if layer != "shortcut" or unit == 1
    }
    return {"conv1": "conv1"} | units | {"postnorm": "postnorm", "logits": "logits"}


def _auxiliary(*layers: str) -> dict[str, str]:
    modules = ("conv0", "conv1", "fc")
    return {f"{AUXILIARY}/{layer}": f"{AUXILIARY}.{module}" for layer, module in zip(layers, modules, strict=True)}


#: For each network, its blocks: slim's name and the module's.
BLOCKS: dict[str, dict[str, str]] = {
    "inception_v3": _inception_v3(),
    "inception_v4": _inception_v4(),
    "inception_resnet_v2": _inception_resnet_v2(),
    "resnet_v2_101": _resnet_v2_101(),
}


def block_of(layer: str, blocks: Collection[str]) -> str | None:
    """Return the block that a layer is of; None if there is no such block."""
    while layer and layer not in blocks:
        layer = layer.rpartition("/")[0]
    return layer or None


def detect(layers: Collection[str]) -> str | None:
    """Return the network that has layers of these names; None if there is none."""
    for network, blocks in BLOCKS.items():
        found = {block_of(layer, blocks) for layer in layers}
        if found >= {block for block in blocks if not block.startswith(AUXILIARY)} and None not in found:
            return network
    return None


def layer_modules(network: nn.Module, block: str) -> list[str]:
    """Return the names of the layers in a block, in the order of their definition.

    Args:
        network: The network.
        block: The block's name as a module of the network.

    Returns:
        Convolutions (with their batch normalizations, if they have them), dense layers, and batch normalizations that
        stand alone.
    """
    names: list[str] = []
    for name, module in network.get_submodule(block).named_modules(prefix=block):
        is_layer = isinstance(module, ConvNormAct | nn.Conv2d | nn.Linear | nn.BatchNorm2d)
        if is_layer and not (names and name.startswith(f"{names[-1]}.")):
            names.append(name)
    return names


def parameters_of(layer: nn.Module) -> Mapping[str, str]:
    """Return what slim calls a layer's parameters, and what they are called within the layer."""
    if isinstance(layer, ConvNormAct):
        return {"weights": "conv.weight"} | {f"BatchNorm/{slim}": f"bn.{name}" for slim, name in _NORM.items()}
    if isinstance(layer, nn.BatchNorm2d):
        return _NORM
    return {"weights": "weight", "biases": "bias"}


_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
