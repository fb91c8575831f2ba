"""The Lightning data module of generation: which shards there are, and which of them this process makes."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from lit_adv.data.batch import ImageBatch
from lit_adv.data.decoder import Decoder, Interpolation
from lit_adv.data.reader import read_batches
from lit_adv.packing import is_image_folder, pack, refuse_inside
from lit_adv.shards import storage
from lit_adv.shards.job import JOB_FILE, ConfigMismatchError, digest
from lit_adv.shards.listing import is_http, list_shards, refuse_own_input, shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import Sidecar, finished, read_sidecars

logger = logging.getLogger(__name__)

_NAMED = 5  # shards of other data in one message


class GenerationDataModule(LightningDataModule):
    """Reads the input shards whose output is still missing.

    Several independent jobs may share one input and one output. Which shards are a job's depends on the list of shards
    alone, not on what is missing when it starts. So jobs never make a shard twice, and none is missed once every job
    has ended well. (Claims, a file created for each shard that is begun, would even out jobs of unequal speed; but a
    claim outlives its killed owner, so it needs an expiry, and with it clocks that agree and twin work after all.) If a
    job is lost, run it again, or run all with another COUNT: shards that are done stay done. Two jobs with the same
    INDEX waste work but do no harm: their bytes are equal and each shard is published once.

    Args:
        shards: A tar file, a brace pattern, a glob, a folder, or a list of these; local or remote. A local folder
            of class folders with images, or of images and a ``labels.csv``, is packed into shards beside it first.
        batch_size: Images a batch.
        num_workers: Processes that read and decode.
        image_size: Side of the square images, in pixels; by default the surrogate's own on the command line, else 224.
        resize: Shorter side before the central crop, in pixels; by default ``image_size / 0.875``, rounded down.
        interpolation: How pixels are interpolated.
        keep_size: Leave an image as it is whose width and height are ``image_size`` already; else it is resized and
            cropped like any other.
        num_classes: Labels lie in [0, num_classes).
        label_field: ``cls`` for the sample's ``cls`` file; any other name is a field of its ``json`` file.
        target_field: Field of the ``json`` file that holds the class the image is to be taken for, if any.
        image_field: Extension of the image where a sample has several, such as ``png`` or ``left.jpg``; by default a
            sample with several is skipped.
        output: The output folder, in which finished shards are looked for; None to read all shards. The command line
            takes it from ``output.path``.
        job: ``INDEX/COUNT`` makes this run one of COUNT independent jobs over the same input and output, with INDEX
            from 0; it makes every COUNTth shard. The jobs need no word with each other, may start and end at any time,
            and the one that ends last writes the manifest.

    Attributes:
        plan: URLs of all input shards.
        assigned: URLs of the missing shards that this process makes.

    Raises:
        ValueError: If an argument is out of range, or ``job`` is not of that form.
    """

    def __init__(
        self,
        shards: str | list[str],
        batch_size: int = 16,
        num_workers: int = 0,
        image_size: int | None = None,
        resize: int | None = None,
        interpolation: Interpolation = "bicubic",
        keep_size: bool = True,
        num_classes: int = 1000,
        label_field: str = "cls",
        target_field: str | None = None,
        image_field: str | None = None,
        output: str | None = None,
        job: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"got batch_size {batch_size} (at least 1) and num_workers {num_workers} (at least 0)")
        self.shards = shards
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.output = output
        side = 224 if image_size is None else image_size
        self.decoder = Decoder(
            image_size=side,
            resize=int(side / 0.875) if resize is None else resize,
            interpolation=interpolation,
            keep_size=keep_size,
            num_classes=num_classes,
            label_field=label_field,
            target_field=target_field,
            image_field=image_field,
        )
        self.job_index, self.job_count = (0, 1) if job is None else _parse_job(job)
        self.plan: list[str] = []
        self.assigned: list[str] = []

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The settings that have a part in the bytes of an output shard; which shards there are has none."""
        settings = vars(self.decoder) | {"batch_size": self.batch_size}
        # Left out unless it is used: so folders that were made before there was such a setting can be completed.
        return {name: value for name, value in settings.items() if name != "image_field" or value is not None}

    def prepare_data(self) -> None:
        """Pack a folder of images into shards, if that is what ``shards`` names.

        Raises:
            ValueError: If the output folder lies in that of the images, or is that of their shards.
        """
        if isinstance(self.shards, str) and is_image_folder(self.shards):
            packed = _packed_folder(self.shards)
            if self.output is not None:
                refuse_own_input(self.output, [storage.join(folder, "x.tar") for folder in (self.shards, packed)])
                refuse_inside(self.output, self.shards)
            logger.info("packing the images of %s into shards in %s", self.shards, packed)
            pack(self.shards, packed)

    def setup(self, stage: str) -> None:
        """List the input shards.

        Raises:
            FileNotFoundError: If there are none, or one is missing.
            ValueError: If two have the same name, or the output folder is that of one.
        """
        packed = isinstance(self.shards, str) and is_image_folder(self.shards)
        self.plan = list_shards(_packed_folder(str(self.shards)) if packed else self.shards)
        if self.output is not None:
            refuse_own_input(self.output, self.plan)

    def predict_dataloader(self) -> DataLoader[ImageBatch]:
        """Return the batches of the shards that this process is to make."""
        trainer: Any = self.trainer
        # One process looks and tells the others: the output may change while they look.
        missing = trainer.strategy.broadcast(self._missing() if trainer.is_global_zero else [])
        part = f"the {len(self._share)} shards of job {self.job_index}/{self.job_count}"
        shards = f"{len(self.plan)} shards" if self.job_count == 1 else part
        rank_zero_info(f"{len(missing)} of {shards} are missing")
        if 0 < len(missing) < trainer.world_size:
            rank_zero_info(f"{trainer.world_size - len(missing)} of {trainer.world_size} processes have nothing to do")
        self.assigned = missing[trainer.global_rank :: trainer.world_size]
        return DataLoader(
            read_batches(self.assigned, self.decoder, self.batch_size),
            batch_size=None,
            num_workers=min(self.num_workers, len(self.assigned)),
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

    def _missing(self) -> list[str]:
        if self.output is None:
            return self._share
        done = finished(self.output)
        made = [shard for shard in self._share if shard_name(shard) in done]
        sidecars = dict(zip(made, read_sidecars(self.output, [shard_name(shard) for shard in made]), strict=True))
        _refuse_other_settings(self.output, sidecars.values())
        _refuse_other_data(self.output, sidecars)
        return [shard for shard in self._share if shard_name(shard) not in done]

    @property
    def _share(self) -> list[str]:
        """The shards of this job."""
        return self.plan[self.job_index :: self.job_count]


def _refuse_other_settings(output: str, sidecars: Collection[Sidecar]) -> None:
    """Make sure that what is done was made with the settings that the folder records, if it records any.

    Raises:
        ConfigMismatchError: If a shard was made with others.
    """
    try:
        fingerprint = digest(storage.read_json(storage.join(output, JOB_FILE)))
    except FileNotFoundError:
        return
    other = [sidecar.shard for sidecar in sidecars if sidecar.fingerprint != fingerprint]
    if other:
        more = ", ..." if len(other) > _NAMED else ""
        raise ConfigMismatchError(
            f"{len(other)} of {len(sidecars)} finished shards in {redact(output)} were made with other settings than "
            f"{JOB_FILE} records: {', '.join(other[:_NAMED])}{more}. Choose another folder, or move these shards and "
            "their sidecars to one and run again"
        )


def _refuse_other_data(output: str, sidecars: Mapping[str, Sidecar]) -> None:
    """Make sure that what is done was made from these shards, and not from others of the same names.

    Sizes are compared, not contents, for that would mean reading all again; ``verify --source`` does.

    Args:
        output: URL of the output folder.
        sidecars: What was made, by the input shard's URL.

    Raises:
        ConfigMismatchError: If an input shard has another size than when it was attacked.
    """
    sizes = storage.file_sizes([shard for shard in sidecars if not is_http(shard)])
    named = [
        f"{redact(shard)}: {sidecars[shard].source_bytes} bytes when it was attacked, {size} now"
        for shard, size in sizes.items()
        if sidecars[shard].source_bytes != size
    ]
    if named:
        more = f"\n  and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise ConfigMismatchError(
            f"{redact(output)} was made from other data under the same names:\n  "
            + "\n  ".join(named[:_NAMED])
            + f"{more}\nUse that data, choose another folder, or delete these shards and their sidecars there."
        )


def _parse_job(job: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", job)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"job must be INDEX/COUNT with INDEX from 0 to COUNT - 1, got {job!r}")
    return int(match[1]), int(match[2])


def _packed_folder(images: str) -> str:
    return f"{images.rstrip('/')}-shards"
