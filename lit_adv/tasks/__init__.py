"""The LightningModules: they connect attacks, metrics and losses to the Trainer."""

from lit_adv.tasks.clean import CleanTask
from lit_adv.tasks.denoising import DenoisingTask
from lit_adv.tasks.evaluation import EvaluationTask
from lit_adv.tasks.fitting import FittingTask
from lit_adv.tasks.generation import GenerationTask
from lit_adv.tasks.training import TrainingTask

__all__ = ["CleanTask", "DenoisingTask", "EvaluationTask", "FittingTask", "GenerationTask", "TrainingTask"]
