"""TensorFlow's checkpoints of slim's networks, turned into files that say all of themselves."""

import json
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

from lit_adv.checkpoints import to_safetensors
from lit_adv.models.classifier import Classifier
from lit_adv.models.slim import NETWORKS, classifier_of_layers, detect, read_layers
from lit_adv.models.slim.names import AUXILIARY
from lit_adv.models.sources import classifier_metadata
from lit_adv.tf_checkpoint import checkpoint_files

#: Entry of the metadata: the names and the SHA-256 digests of the files that the weights come from.
_SOURCE = "lit_adv.source"
_FILES_OF_TORCH = (".safetensors", ".pt", ".pth", ".bin")


class Converted(NamedTuple):
    """What a checkpoint was turned into.

    Attributes:
        network: slim's name of the network.
        classifier: The network and what it expects of an image.
        content: The bytes of a safetensors file.
    """

    network: str
    classifier: Classifier
    content: bytes


def convert(file: str, network: str | None = None) -> Converted:
    """Turn a checkpoint into the content of a safetensors file.

    Args:
        file: A TensorFlow checkpoint or a ``.npy`` file, see :func:`lit_adv.models.slim.load_slim`.
        network: One of :data:`lit_adv.models.slim.NETWORKS`; by default it is told by the names of the layers.

    Returns:
        The file's content, with the auxiliary head if the checkpoint has one. ``slim:NETWORK@FILE`` loads it, and
        ``timm:NETWORK@FILE`` where the network is one of timm's.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of no network of slim, or of another than ``network``.
    """
    if Path(file).suffix in _FILES_OF_TORCH:
        raise ValueError(f"{file} needs no conversion: load it as timm:NAME@{file}")
    layers = read_layers(file)
    network = network or detect(layers)
    if network is None:
        raise ValueError(
            f"the names of the layers in {file} are of none of {', '.join(NETWORKS)}; say which network it is meant to "
            "be with --as, and the error names what does not fit"
        )
    auxiliary = any(layer.startswith(f"{AUXILIARY}/") for layer in layers)
    classifier = classifier_of_layers(network, layers, file, auxiliary)
    digests = {}
    for part in checkpoint_files(file):
        with part.open("rb") as content:
            digests[part.name] = file_digest(content, "sha256").hexdigest()
    metadata = classifier_metadata(classifier, network) | {_SOURCE: json.dumps(digests)}
    return Converted(network, classifier, to_safetensors(classifier.network, metadata))
