"""The LightningModules: they connect attacks, metrics and losses to the Trainer."""

from lit_adv.tasks.evaluation import EvaluationTask
from lit_adv.tasks.generation import GenerationTask

__all__ = ["EvaluationTask", "GenerationTask"]
