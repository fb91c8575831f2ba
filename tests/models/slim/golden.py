"""What TensorFlow computed with slim's networks, and the weights that it computed it with.

The files in tests/golden/slim were made with TensorFlow 2.21 in float64. They hold names and shapes of the variables;
the values are drawn by a rule from their names.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "golden/slim"
Array = NDArray[Any]


def golden(network: str) -> dict[str, Array]:
    """Return logits and aux [1001], grad_sample [23, 23, 3] (every 13th pixel), grad_norm, names and shapes."""
    with np.load(FOLDER / f"{network}.npz") as file:
        return dict(file)


def variables(network: str, keep: str = "") -> dict[str, Array]:
    """Draw the variables of a network whose names, without the scope, start with ``keep``."""
    values = golden(network)
    shapes = zip(values["names"].tolist(), values["shapes"].tolist(), strict=True)
    return {
        name: _draw(name.partition("/")[2], tuple(map(int, shape.split(","))))
        for name, shape in shapes
        if name.partition("/")[2].startswith(keep)
    }


def _draw(name: str, shape: tuple[int, ...]) -> Array:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith(("moving_variance", "gamma")):
        values = random.uniform(0.5, 1.5, shape)
    elif name.endswith("weights"):
        gain = 0.3 if name.endswith("/conv3/weights") else 1
        values = random.standard_normal(shape) * gain * np.sqrt(2 / np.prod(shape[:-1]))
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


def image() -> Array:
    """Return the image, [1, 3, 299, 299] in [0, 1], in float64."""
    normalized = np.random.RandomState(0).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    return (normalized.astype(np.float64).transpose(0, 3, 1, 2) + 1) / 2


def direction() -> Array:
    """Return the factors [1001] of the logits in the sum that the gradient is of."""
    return np.random.RandomState(1).standard_normal(1001)


def npy_layers(tensors: Mapping[str, Array], scale: bool) -> dict[str, dict[str, Array]]:
    """Return variables as the .npy files name and lay them out.

    Args:
        tensors: Variables by their names.
        scale: Whether batch normalizations without gamma have a scale of ones.
    """
    parts = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    layers: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        path, _, parameter = name.rpartition("/")
        scope, _, rest = path.partition("/")
        inception_trunk = "Inception" in scope and not rest.startswith(("Logits", "AuxLogits"))
        path = f"{scope}/{path}" if inception_trunk else path
        if parameter in parts:
            layer = layers.setdefault(f"{path}/FusedBatchNorm", {})
            layer[parts[parameter]] = array
            if scale and parameter == "beta":
                layer.setdefault("scale", np.ones_like(array))
        else:
            dense = f"{name.removesuffix(parameter)}weights"
            operation = "MatMul" if tensors[dense].ndim == 2 else "Conv2D"
            layout = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            layers.setdefault(f"{path}/{operation}", {})["bias" if parameter == "biases" else parameter] = layout
    return layers
