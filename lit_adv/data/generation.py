"""The Lightning data module of generation: which shards there are, and which of them this process makes."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from lit_adv.data.batch import ImageBatch
from lit_adv.data.decode import Decoder, Interpolation
from lit_adv.data.pack import is_image_folder, pack
from lit_adv.data.reader import read_batches
from lit_adv.data.shards import list_shards, shard_name
from lit_adv.data.sidecar import finished
from lit_adv.data.writer import ShardWriter

logger = logging.getLogger(__name__)


class GenerationDataModule(LightningDataModule):
    """Reads the input shards whose output is still missing.

    Args:
        shards: A tar file, a brace pattern, a glob, a folder, or a list of these; local or remote. A local folder
            of class folders with images is packed into shards beside it first.
        batch_size: Images a batch.
        num_workers: Processes that read and decode.
        image_size: Side of the square images, in pixels; by default the surrogate's own on the command line, else 224.
        resize: Shorter side before the central crop, in pixels; by default ``image_size / 0.875``, rounded down.
        interpolation: How pixels are interpolated.
        num_classes: Labels lie in [0, num_classes).
        label_field: ``cls`` for the sample's ``cls`` file; any other name is a field of its ``json`` file.
        target_field: Field of the ``json`` file that holds the class the image is to be taken for, if any.

    Attributes:
        plan: URLs of all input shards.
        assigned: URLs of the missing shards that this process makes.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        shards: str | list[str],
        batch_size: int = 16,
        num_workers: int = 0,
        image_size: int | None = None,
        resize: int | None = None,
        interpolation: Interpolation = "bicubic",
        num_classes: int = 1000,
        label_field: str = "cls",
        target_field: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"got batch_size {batch_size} (at least 1) and num_workers {num_workers} (at least 0)")
        self.shards = shards
        self.batch_size = batch_size
        self.num_workers = num_workers
        side = 224 if image_size is None else image_size
        self.decoder = Decoder(
            image_size=side,
            resize=int(side / 0.875) if resize is None else resize,
            interpolation=interpolation,
            num_classes=num_classes,
            label_field=label_field,
            target_field=target_field,
        )
        self.plan: list[str] = []
        self.assigned: list[str] = []

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The settings that have a part in the output's bytes, and the names of the shards."""
        names = sorted(map(shard_name, self.plan))
        return {**vars(self.decoder), "batch_size": self.batch_size, "shards": names}

    def prepare_data(self) -> None:
        """Pack a folder of images into shards, if that is what ``shards`` names."""
        if isinstance(self.shards, str) and is_image_folder(self.shards):
            packed = _packed_folder(self.shards)
            logger.info("packing the images of %s into shards in %s", self.shards, packed)
            pack(self.shards, packed)

    def setup(self, stage: str) -> None:
        """List the input shards.

        Raises:
            FileNotFoundError: If there are none, or one is missing.
            ValueError: If two have the same name.
        """
        packed = isinstance(self.shards, str) and is_image_folder(self.shards)
        self.plan = list_shards(_packed_folder(str(self.shards)) if packed else self.shards)

    def predict_dataloader(self) -> DataLoader[ImageBatch]:
        """Return the batches of the shards that this process is to make."""
        trainer: Any = self.trainer
        # One process looks and tells the others: the output may change while they look.
        missing = trainer.strategy.broadcast(self._missing(trainer.callbacks) if trainer.is_global_zero else [])
        rank_zero_info(f"{len(missing)} of {len(self.plan)} shards are missing")
        if 0 < len(missing) < trainer.world_size:
            rank_zero_info(f"{trainer.world_size - len(missing)} processes have nothing to do")
        self.assigned = missing[trainer.global_rank :: trainer.world_size]
        return DataLoader(
            read_batches(self.assigned, self.decoder, self.batch_size),
            batch_size=None,
            num_workers=min(self.num_workers, len(self.assigned)),
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

    def _missing(self, callbacks: list[Callback]) -> list[str]:
        outputs = [callback.path for callback in callbacks if isinstance(callback, ShardWriter)]
        done = set[str]().union(*map(finished, outputs))
        return [shard for shard in self.plan if shard_name(shard) not in done]


def _packed_folder(images: str) -> str:
    return f"{images.rstrip('/')}-shards"
