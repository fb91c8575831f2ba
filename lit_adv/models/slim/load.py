"""Classifiers from files of slim's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lit_adv.checkpoints import read_checkpoint
from lit_adv.models.classifier import Classifier
from lit_adv.models.slim import weights
from lit_adv.models.slim.names import AUXILIARY, BLOCKS, LOGITS
from lit_adv.models.slim.networks import build_network
from lit_adv.tf_checkpoint import read_npy_layers, read_tf_checkpoint

#: What slim's networks expect of an image.
SIZE, CROP_RATIO = 299, 0.875


def load_slim(network: str, file: str, *, auxiliary: bool = False) -> Classifier:
    """Load one of slim's networks.

    Args:
        network: One of :data:`lit_adv.models.slim.NETWORKS`.
        file: A TensorFlow checkpoint (see :func:`lit_adv.tf_checkpoint.read_tf_checkpoint`), a ``.npy`` file of the
            same weights, or a ``.safetensors`` file with the names of the networks here.
        auxiliary: Whether the network is to have its auxiliary head.

    Returns:
        The classifier.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the network is not known, or the file does not hold it.
    """
    if Path(file).suffix == ".safetensors":
        module = _from_state_dict(network, read_checkpoint(file), file, auxiliary)
        return Classifier(module, **_settings(network, module))
    return classifier_of_layers(network, read_layers(file), file, auxiliary)


def classifier_of_layers(network: str, layers: weights.Layers, file: str, auxiliary: bool) -> Classifier:
    """Make a classifier of what :func:`read_layers` returns; see :func:`load_slim`."""
    with _named(file):
        module = build_network(network, weights.count_classes(network, layers), auxiliary=auxiliary)
        state = weights.state_dict(network, module, layers)
    counters = {name: value for name, value in module.state_dict().items() if name.endswith("num_batches_tracked")}
    module.load_state_dict(state | counters)
    return Classifier(module, **_settings(network, module))


def read_layers(file: str) -> weights.Layers:
    """Read the layers of a TensorFlow checkpoint or of a ``.npy`` file.

    Args:
        file: See :func:`load_slim`.

    Returns:
        Arrays by layer and parameter.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or holds no layers of slim's networks.
    """
    if Path(file).suffix == ".npy":
        arrays = read_npy_layers(file)
        with _named(file):
            return weights.layers_of_npy(arrays)
    variables = read_tf_checkpoint(file)
    with _named(file):
        return weights.layers_of_variables(variables)


def _from_state_dict(network: str, state: Mapping[str, Tensor], file: str, auxiliary: bool) -> nn.Module:
    logits = f"{_logits_module(network)}.weight"
    if logits not in state:
        raise ValueError(f"{file} has no {logits}: it does not hold {network}")
    if not auxiliary:
        state = {name: value for name, value in state.items() if not name.startswith(f"{AUXILIARY}.")}
    elif not any(name.startswith(f"{AUXILIARY}.") for name in state):
        raise ValueError(f"{file} holds no auxiliary head, {AUXILIARY}: leave out the option aux")
    module = build_network(network, len(state[logits]), auxiliary=auxiliary)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit {network}: {error}") from error
    return module


def _settings(network: str, module: nn.Module) -> dict[str, Any]:
    """Return what slim's weights expect of an image, and of the network."""
    classes = len(module.get_submodule(_logits_module(network)).get_parameter("weight"))
    return {
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "input_size": SIZE,
        "crop_ratio": CROP_RATIO,
        # slim's ImageNet has a background class in front of the 1000 others; data of one's own may have none.
        "class_offset": int(classes == 1001),
        "exclude_padding": network == "inception_v3",
    }


def _logits_module(network: str) -> str:
    return BLOCKS[network][LOGITS[network]]


@contextmanager
def _named(file: str) -> Iterator[None]:
    """Name the file in errors that are raised meanwhile."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file} cannot be used: {error}") from error
