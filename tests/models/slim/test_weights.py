"""A file's variables find their places, or an error names the one that does not."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lit_adv.models.slim import NETWORKS, detect
from lit_adv.models.slim.networks import build_network
from lit_adv.models.slim.weights import count_classes, layers_of_npy, layers_of_variables, state_dict
from tests.models.slim.golden import Array, golden, npy_layers

Variables = dict[str, Array]


def blank(network: str) -> Variables:
    """Return a network's variables, all zero."""
    values = golden(network)
    shapes = (tuple(map(int, shape.split(","))) for shape in values["shapes"].tolist())
    return {name: np.zeros(shape, np.float32) for name, shape in zip(values["names"].tolist(), shapes, strict=True)}


@pytest.fixture(scope="module")
def inception() -> nn.Module:
    with torch.device("meta"):
        return build_network("inception_v3", 1001)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    with torch.device("meta"):
        return build_network("resnet_v2_101", 1001)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", ["variables", "npy"])
def test_the_names_of_the_layers_tell_the_network(network: str, kind: str) -> None:
    variables = blank(network)
    layers = layers_of_npy(npy_layers(variables, False)) if kind == "npy" else layers_of_variables(variables)
    assert detect(layers) == network
    assert count_classes(network, layers) == 1001
    assert detect({name: layer for name, layer in layers.items() if not name.startswith("AuxLogits")}) == network
    assert detect({**layers, "block5/unit_1/bottleneck_v2/conv1": {}}) is None
    assert detect({}) is None


def test_the_scope_may_be_anything_and_what_training_left_is_skipped() -> None:
    kept = {"Ens3AdvInceptionV3/Conv2d_1a_3x3/weights": np.zeros((3, 3, 3, 32))}
    of_training = [
        "global_step",
        "beta1_power",
        "train/global_step",
        "Ens3AdvInceptionV3/Conv2d_1a_3x3/weights/ExponentialMovingAverage",
        "Ens3AdvInceptionV3/Conv2d_1a_3x3/weights/RMSProp",
        "Ens3AdvInceptionV3/Conv2d_1a_3x3/weights/RMSProp_1",
        "Other/Conv2d_1a_3x3/BatchNorm/beta/Momentum",
    ]
    layers = layers_of_variables(kept | dict.fromkeys(of_training, np.zeros(3)))
    assert {name: list(parameters) for name, parameters in layers.items()} == {"Conv2d_1a_3x3": ["weights"]}


def test_two_networks_in_one_file_are_refused() -> None:
    names = ("A/Conv2d_1a_3x3/weights", "B/Conv2d_2a_3x3/weights")
    with pytest.raises(ValueError, match="of 2 scopes, A, B"):
        layers_of_variables(dict.fromkeys(names, np.zeros(3)))
    with pytest.raises(ValueError, match="of 2 scopes, A, B"):
        layers_of_npy(
            {name: {"weights": np.zeros(3)} for name in ("A/A/Conv2d_1a_3x3/Conv2D", "B/Conv2d_2a_3x3/Conv2D")}
        )
    with pytest.raises(ValueError, match="its entry A/x/Conv2D is a second x/weights"):
        layers_of_npy({name: {"weights": np.zeros(3)} for name in ("A/A/x/Conv2D", "A/x/Conv2D")})


@pytest.mark.parametrize("name", ["InceptionV3/Conv2d_1a_3x3/kernel", "weights", "InceptionV3/weights"])
def test_a_variable_that_is_no_layer_s_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"its variable {name} of shape 3x4 is of no network of slim"):
        layers_of_variables({name: np.zeros((3, 4))})


@pytest.mark.parametrize(
    ("operation", "part"), [("S/S/Conv2d_1a_3x3/Relu", "weights"), ("S/x/Conv2D", "scale"), ("Conv2D", "bias")]
)
def test_an_entry_of_an_npy_file_that_is_no_layer_s_is_named(operation: str, part: str) -> None:
    with pytest.raises(ValueError, match=f"its entry {operation}, {part} of shape 3 is of no network of slim"):
        layers_of_npy({operation: {part: np.zeros(3)}})


def without(name: str) -> Callable[[Variables], Variables]:
    return lambda variables: {key: value for key, value in variables.items() if not key.startswith(name)}


def other(name: str, *shape: int, dtype: str = "float32") -> Callable[[Variables], Variables]:
    return lambda variables: variables | {name: np.zeros(shape, dtype)}


V3 = "InceptionV3"
UNIT = "resnet_v2_101/block1/unit_2/bottleneck_v2"


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        (
            "inception_v3",
            without(f"{V3}/Mixed_5d/Branch_1/Conv2d_0b_5x5/BatchNorm/beta"),
            "it lacks the variable Mixed_5d/Branch_1/Conv2d_0b_5x5/BatchNorm/beta of shape 64",
        ),
        (
            "inception_v3",
            without(f"{V3}/Mixed_5d/Branch_1/Conv2d_0b_5x5"),
            "it has Mixed_5d/Branch_0/Conv2d_0a_1x1, Mixed_5d/Branch_1/Conv2d_0a_1x1, Mixed_5d/Branch_2/Conv2d_0a_1x1, "
            "Mixed_5d/Branch_2/Conv2d_0b_3x3, Mixed_5d/Branch_2/Conv2d_0c_3x3, Mixed_5d/Branch_3/Conv2d_0b_1x1 for "
            "Mixed_5d, which takes 7 layers with weights of shapes 1x1x288x64, 1x1x288x48, 5x5x48x64, ",
        ),
        (
            "inception_v3",
            without(f"{V3}/Conv2d_2b_3x3"),
            "it has nothing for Conv2d_2b_3x3, which takes a layer with weights of shape 3x3x32x64",
        ),
        (
            "inception_v3",
            other(f"{V3}/Conv2d_2b_3x3/weights", 3, 3, 32, 65),
            "its variable Conv2d_2b_3x3/weights has shape 3x3x32x65 and type float32, not shape 3x3x32x64",
        ),
        (
            "inception_v3",
            other(f"{V3}/Conv2d_2b_3x3/weights", 3, 3, 32, 64, dtype="int32"),
            "its variable Conv2d_2b_3x3/weights has shape 3x3x32x64 and type int32",
        ),
        (
            "inception_v3",
            other(f"{V3}/Mixed_8a/weights", 2, 3),
            "its variable Mixed_8a/weights of shape 2x3 is not one of inception_v3's",
        ),
        (
            "inception_v3",
            other(f"{V3}/Conv2d_2b_3x3/biases", 64),
            "its variable Conv2d_2b_3x3/biases of shape 64 is not one of inception_v3's, which has weights, BatchNorm/",
        ),
        ("resnet_v2_101", without(f"{UNIT}/preact/gamma"), "it lacks the variable block1/unit_2/bottleneck_v2/preact/"),
        ("resnet_v2_101", without(f"{UNIT}/conv3/biases"), "it lacks the variable block1/unit_2/bottleneck_v2/conv3/b"),
        ("resnet_v2_101", without(f"{UNIT}/conv2/"), "it has nothing for block1/unit_2/bottleneck_v2/conv2, which"),
        (
            "resnet_v2_101",
            other(f"{UNIT}/shortcut/weights", 1, 1, 64, 256),
            "its variable block1/unit_2/bottleneck_v2/shortcut/weights of shape 1x1x64x256 is not one of resnet_v2_101",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    network: str, change: Callable[[Variables], Variables], message: str, inception: nn.Module, resnet: nn.Module
) -> None:
    module = inception if network == "inception_v3" else resnet
    layers = layers_of_variables(change(blank(network)))
    with pytest.raises(ValueError, match=re.escape(message)):
        state_dict(network, module, layers)


def test_another_network_s_file_is_told_by_its_layers() -> None:
    layers = layers_of_variables(blank("inception_v4"))
    with pytest.raises(ValueError, match=r"no variable Logits/Conv2d_1c_1x1/biases.*: it is of inception_v4"):
        count_classes("inception_v3", layers)
