"""TensorFlow's slim: the paper's own networks with the weights of its checkpoints."""

from lit_adv.models.slim.load import classifier_of_layers, load_slim, read_layers
from lit_adv.models.slim.names import detect
from lit_adv.models.slim.networks import NETWORKS
from lit_adv.models.slim.origin import origin

__all__ = ["NETWORKS", "classifier_of_layers", "detect", "load_slim", "origin", "read_layers"]
