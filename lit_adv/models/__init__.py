"""Classifiers: where their weights come from, how they are combined, and how they are made fast."""

from lit_adv.models.classifier import Classifier
from lit_adv.models.ensemble import Ensemble, Fusion
from lit_adv.models.optimize import keep_freed_memory, optimize, weights_sha256
from lit_adv.models.sources import InputRecord, input_record, load_model

__all__ = [
    "Classifier",
    "Ensemble",
    "Fusion",
    "InputRecord",
    "input_record",
    "keep_freed_memory",
    "load_model",
    "optimize",
    "weights_sha256",
]
