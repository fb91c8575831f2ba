"""Classifiers: where their weights come from, how they are combined, and how they are made fast."""

from lit_adv.models.averaging import interpolate
from lit_adv.models.classes import count_classes
from lit_adv.models.classifier import Classifier, to_float
from lit_adv.models.depthwise import hasten_depthwise
from lit_adv.models.ensemble import Ensemble, Fusion
from lit_adv.models.optimize import auxiliary_sha256, keep_freed_memory, optimize, weights_sha256
from lit_adv.models.sources import InputRecord, classifier_metadata, input_record, load_model

__all__ = [
    "Classifier",
    "Ensemble",
    "Fusion",
    "InputRecord",
    "auxiliary_sha256",
    "classifier_metadata",
    "count_classes",
    "hasten_depthwise",
    "input_record",
    "interpolate",
    "keep_freed_memory",
    "load_model",
    "optimize",
    "to_float",
    "weights_sha256",
]
