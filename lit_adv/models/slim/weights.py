"""From what a file holds to a network's state dict."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lit_adv.models.slim.names import AUXILIARY, BLOCKS, LOGITS, block_of, detect, layer_modules, parameters_of

Array = NDArray[Any]
#: Arrays by layer, without the scope of the whole network, and by slim's name of the parameter, in slim's layout.
Layers = Mapping[str, Mapping[str, Array]]

_PARAMETER = re.compile(r"(.+?)/(weights|biases|(?:BatchNorm/)?(?:gamma|beta|moving_mean|moving_variance))")
#: What only training needs: moving averages of weights and the state of optimizers, beside the weights or alone.
_OF_TRAINING = re.compile(
    r"(?:.*/)?(?:global_step|beta[12]_power|(?:ExponentialMovingAverage|RMSProp|Momentum|Adam|Adagrad|Adadelta|Ftrl)"
    r"(?:_\d+)?)"
)
_NPY_NAMES = {
    "Conv2D": {"weights": "weights", "bias": "biases"},
    "MatMul": {"weights": "weights", "bias": "biases"},
    "FusedBatchNorm": {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"},
}


def layers_of_variables(variables: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Take a TensorFlow checkpoint's variables apart.

    Args:
        variables: Arrays by name. The first component, the network's scope, may be anything.

    Returns:
        The layers; without what only training needs.

    Raises:
        ValueError: If a variable is no parameter of a layer, or they are of several scopes.
    """
    layers: dict[str, dict[str, Array]] = defaultdict(dict)
    scopes: set[str] = set()
    for name, array in variables.items():
        if _OF_TRAINING.fullmatch(name):
            continue
        scope, _, rest = name.partition("/")
        if not (match := _PARAMETER.fullmatch(rest)):
            raise ValueError(f"its variable {name} of shape {shape_text(array.shape)} is of no network of slim")
        scopes.add(scope)
        layers[match[1]][match[2]] = array
    _check_scopes(scopes)
    return dict(layers)


def layers_of_npy(arrays: Mapping[str, Mapping[str, Array]]) -> dict[str, dict[str, Array]]:
    """Take the layers of a ``.npy`` file apart, which are in PyTorch's layout.

    Args:
        arrays: Arrays by the graph's operations (``InceptionV3/InceptionV3/Mixed_5b/Branch_0/Conv2d_0a_1x1/Conv2D``)
            and by their parts (``weights``, ``bias``, ...).

    Returns:
        The layers.

    Raises:
        ValueError: If an operation or a part of it is unknown, or they are of several scopes.
    """
    layers: dict[str, dict[str, Array]] = defaultdict(dict)
    scopes: set[str] = set()
    for name, parts in arrays.items():
        scope, _, rest = str(name).partition("/")
        path, _, operation = rest.removeprefix(f"{scope}/").rpartition("/")
        scopes.add(scope)
        for part, array in parts.items():
            if not path or part not in _NPY_NAMES.get(operation, {}):
                shape = shape_text(array.shape)
                raise ValueError(f"its entry {name}, {part} of shape {shape} is of no network of slim")
            parameter = _NPY_NAMES[operation][part]
            # The operation's own name has the BatchNorm of a convolution's, which a variable's name has, too.
            layer = path.removesuffix("/BatchNorm")
            key = f"BatchNorm/{parameter}" if layer != path else parameter
            if key in layers[layer]:
                raise ValueError(f"its entry {name} is a second {layer}/{key}")
            layers[layer][key] = _to_slim_layout(array)
    _check_scopes(scopes)
    return dict(layers)


def _check_scopes(scopes: set[str]) -> None:
    """Make sure that a file holds one network."""
    if len(scopes) > 1:
        raise ValueError(f"its variables are of {len(scopes)} scopes, {', '.join(sorted(scopes))}: one is a network")


def count_classes(network: str, layers: Layers) -> int:
    """Return how many classes a network's layers tell apart, slim's background class among them.

    Raises:
        ValueError: If the layer of the logits is missing; the message says which network it may be.
    """
    logits = layers.get(LOGITS[network], {}).get("biases")
    if logits is None or logits.ndim != 1:
        found = detect(layers)
        raise ValueError(
            f"it has no variable {LOGITS[network]}/biases, which {network} has"
            + (f": it is of {found}, slim:{found}@FILE" if found else "")
        )
    return len(logits)


def state_dict(network_name: str, network: nn.Module, layers: Layers) -> dict[str, Tensor]:
    """Turn layers into the state dict of a network.

    Args:
        network_name: The network's name.
        network: The network, for its modules and shapes alone. Without an auxiliary head, that of the file is left out.
        layers: Its layers.

    Returns:
        Weights by the names of the network, in float32; all but the counters of batch normalizations.

    Raises:
        ValueError: If a layer or a parameter is unknown, missing or of another shape.
    """
    wanted = network.state_dict()
    state: dict[str, Tensor] = {}
    for layer, module in _pairs(network_name, network, layers):
        found, names = layers[layer], parameters_of(network.get_submodule(module))
        for parameter, array in found.items():
            if (key := f"{module}.{names.get(parameter)}") not in wanted:
                raise ValueError(
                    f"its variable {layer}/{parameter} of shape {shape_text(array.shape)} is not one of "
                    f"{network_name}'s, which has {', '.join(names)} there"
                )
            state[key] = _to_tensor(array, wanted[key], f"{layer}/{parameter}")
        for parameter, name in names.items():
            key = f"{module}.{name}"
            if parameter not in found and key in wanted:
                shape = shape_text(_slim_shape(wanted[key]))
                if parameter != "BatchNorm/gamma" or network_name == "resnet_v2_101":
                    raise ValueError(f"it lacks the variable {layer}/{parameter} of shape {shape}")
                state[key] = torch.ones_like(wanted[key])  # slim's Inceptions do not scale
    return state


def _pairs(network_name: str, network: nn.Module, layers: Layers) -> Iterator[tuple[str, str]]:
    """Yield the layers and the names of their modules."""
    blocks = {
        slim: module
        for slim, module in BLOCKS[network_name].items()
        if not slim.startswith(AUXILIARY) or getattr(network, AUXILIARY, None) is not None
    }
    members: dict[str, list[str]] = {block: [] for block in blocks}
    for layer, parameters in layers.items():
        if (block := block_of(layer, blocks)) is not None:
            members[block].append(layer)
        elif not layer.startswith(AUXILIARY):
            name, array = next(iter(parameters.items()))
            raise ValueError(
                f"its variable {layer}/{name} of shape {shape_text(array.shape)} is not one of {network_name}'s"
            )
    for block, names in members.items():
        modules = layer_modules(network, blocks[block])
        if len(names) != len(modules):
            raise ValueError(_miscounted(network, block, sorted(names), modules))
        yield from zip(sorted(names), modules, strict=True)


def _miscounted(network: nn.Module, block: str, names: list[str], modules: list[str]) -> str:
    """Say what a block holds and what it should hold."""
    layers = (network.get_submodule(module) for module in modules)
    tensors = [getattr(layer, "conv", layer).get_parameter("weight") for layer in layers]
    shapes = [shape_text(_slim_shape(tensor)) for tensor in tensors]
    wants = f"{len(modules)} layers with weights of shapes {', '.join(shapes)}"
    if len(modules) == 1:
        wants = f"a layer with weights of shape {shapes[0]}"
    return f"it has {', '.join(names) or 'nothing'} for {block}, which takes {wants}"


def _to_tensor(array: Array, like: Tensor, name: str) -> Tensor:
    """Bring an array into PyTorch's layout.

    Raises:
        ValueError: If its shape is another than a tensor's.
    """
    wanted = _slim_shape(like)
    # Inception-v3 has its logits from a convolution of 1 x 1.
    if array.shape not in (wanted, (1, 1, *wanted)) or array.dtype.kind != "f":
        raise ValueError(
            f"its variable {name} has shape {shape_text(array.shape)} and type {array.dtype}, not shape "
            f"{shape_text(wanted)} and floating point numbers"
        )
    axes = (3, 2, 0, 1) if like.ndim == 4 else tuple(reversed(range(like.ndim)))
    return torch.from_numpy(np.array(array.reshape(wanted).transpose(axes), dtype=np.float32, order="C"))


def _slim_shape(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of slim's variable for a tensor."""
    shape = tuple(tensor.shape)
    return (*shape[2:], shape[1], shape[0]) if len(shape) > 1 else shape


def _to_slim_layout(array: Array) -> Array:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as ``3x3x64x96``."""
    return "x".join(map(str, shape)) or "()"
