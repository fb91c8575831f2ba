"""Clean images and their adversarial versions, shuffled and mixed for training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from lit_adv.data.augment import Augmentation, Augmenter
from lit_adv.data.batch_sampler import BatchSampler
from lit_adv.data.decoder import Decoder
from lit_adv.data.evaluation import PairBatch, load_pairs
from lit_adv.data.streams import CLEAN, SELF, CleanShard, CleanStream, PairStream, Stream
from lit_adv.data.training_batches import TrainBatch, TrainingBatches
from lit_adv.data.training_checks import check_fit, check_in_step, check_same_images, complete_shares, count_clean
from lit_adv.peers import Peers
from lit_adv.shards.attacked import AttackedFolder, check_shards, open_attacked, open_paired
from lit_adv.shards.job import digest
from lit_adv.shards.listing import file_name, list_shards
from lit_adv.shards.skips import add_counts, describe_skips

logger = logging.getLogger(__name__)

_WORKERS = "data.num_workers"


class TrainingDataModule(LightningDataModule):
    """Mixes adversarial sets and clean shards into training batches.

    The adversarial sets must be made from the same shards: in each epoch, each of their images comes once, with its
    version of one set. All images of a batch have theirs from the same set, or from none where adversaries are to be
    made on the fly. What the batches of an epoch hold depends on ``seed`` and the epoch alone, however many processes
    and workers divide them and however often the run was resumed in between.

    Every batch has ``batch_size`` images, and every process has equally many batches. Where there are too few, some
    come again with weight 0.

    Args:
        adversarial: Folders of finished adversarial shards with clean images, local or remote, by a name of your
            choice.
        clean: More shards of images (``jpg``, ``png`` or ``webp``, and ``cls``), as a pattern, a folder, or a list of
            these. Their batches are mixed with the others. Samples that cannot be used are left out, and said.
        shares: Share of each source: the names of the sets, and ``self`` for adversaries made on the fly against the
            images in ``adversarial``; each batch of these images draws one. They are scaled to sum to 1. A set that is
            not named has 1, ``self`` 0. ``clean`` names the images of ``clean``: an epoch has as many as make up their
            share, and the next goes on where it ended. If not named, they come once an epoch, however many they are.
        validation: Folders of finished adversarial shards that are read unchanged for validation, by a name of your
            choice.
        batch_size: Images a batch, in each process.
        num_workers: Processes that read and decode, for each process that trains.
        image_size: Side of the square images, in pixels.
        num_classes: Labels lie in [0, num_classes).
        label_field: Where the clean shards' labels are: ``cls`` for the sample's ``cls`` file; any other name is a
            field of its ``json`` file.
        image_field: Extension of the image where a sample of the clean shards has several.
        shuffle_buffer: How many places a sample may move within the shuffled shards. Nothing is buffered, but
            so many samples' shards are open at a time.
        augmentation: How training images are changed.
        seed: Of the order, the sources and the augmentation.

    Attributes:
        sets: What the folders of ``adversarial`` hold, by the same names.
        attacks: What the folders of ``validation`` hold, by the same names.
        shares: Share of each source; they sum to 1. ``clean`` is among them if it was named.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        adversarial: dict[str, str] | None = None,
        clean: str | list[str] | None = None,
        shares: dict[str, float] | None = None,
        validation: dict[str, str] | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        image_size: int = 224,
        num_classes: int = 1000,
        label_field: str = "cls",
        image_field: str | None = None,
        shuffle_buffer: int = 2000,
        augmentation: Augmentation = Augmentation(),  # noqa: B008  # it is frozen
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, shuffle_buffer) < 1 or num_workers < 0:
            raise ValueError(
                f"got batch_size {batch_size} and shuffle_buffer {shuffle_buffer} (both at least 1), and num_workers "
                f"{num_workers} (at least 0)"
            )
        self._set_paths = adversarial or {}
        self._validation_paths = validation or {}
        if SELF in self._set_paths or SELF in self._validation_paths:
            raise ValueError(f"no set may be named {SELF!r}: that means adversaries made on the fly")
        if CLEAN in self._set_paths:
            raise ValueError(f"no set may be named {CLEAN!r}: data.shares calls the shards of data.clean so")
        if len(set(self._validation_paths.values())) < len(self._validation_paths):
            raise ValueError(f"data.validation must name each folder once, not {self._validation_paths}")
        self.clean = clean
        self.shares = complete_shares(shares, list(self._set_paths), clean is not None)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.shuffle_buffer = shuffle_buffer
        self.seed = seed
        self.decoder = Decoder(image_size=image_size, resize=image_size, num_classes=num_classes)
        self._clean_decoder = replace(self.decoder, label_field=label_field, image_field=image_field)
        self.augmenter = Augmenter(augmentation, image_size, seed)
        self.sets: dict[str, AttackedFolder] = {}
        self.attacks: dict[str, AttackedFolder] = {}
        self._clean_shards: dict[str, CleanShard] = {}
        self._left_out: set[str] = set()
        self._begun: dict[str, Any] = {}  # what the order of an epoch's batches rests on, where a run was stopped in it
        self._dealt_to = num_workers  # data loader workers whose turns order the epoch's batches

    def prepare_data(self) -> None:
        """Check that the adversarial shards are whole, and that the sets are made from the same images.

        Raises:
            FileNotFoundError: If a folder is not finished.
            DamagedShardsError: If shards are missing, or differ from their manifest or in their keys.
            ValueError: If sets were not made from the same images.
        """
        for path in {*self._set_paths.values(), *self._validation_paths.values()}:
            check_shards(open_attacked(path))
        sets = open_paired(self._set_paths)
        check_in_step(sets)
        check_same_images(sets)

    def setup(self, stage: str) -> None:
        """Read the manifests, and for training count the clean shards' samples.

        Raises:
            FileNotFoundError: If a folder is not finished, or clean shards are missing.
            ValueError: If there is nothing to train on, shards do not fit the settings or each other, or clean shards
                are damaged or hold no sample that can be used.
        """
        self.sets, self.attacks = open_paired(self._set_paths), open_paired(self._validation_paths)
        for folders in (self.sets, self.attacks):
            check_fit(folders, self.decoder.image_size, self.decoder.num_classes)
        check_in_step(self.sets)
        if stage == "fit":
            self._clean_shards = self._count_clean()
            if not len(self._batches):
                raise ValueError("there is nothing to train on; name shards as data.adversarial, data.clean or both")

    def train_dataloader(self) -> DataLoader[TrainBatch]:
        """Return this process's batches of an epoch; the Trainer sets the epoch."""
        trainer: Any = self.trainer
        batches = self._batches
        sampler = BatchSampler(batches, trainer.global_rank, trainer.world_size, self.num_workers)
        loader = _LateLoader(
            batches,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )
        loader.begin = partial(self._skip_what_was_had, sampler)
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return what a run must know that is resumed within an epoch: what the order of its batches rests on."""
        return {**self._order, _WORKERS: self._dealt_to}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`."""
        self._begun = state_dict
        self._dealt_to = state_dict[_WORKERS]

    @property
    def _order(self) -> dict[str, int | str]:
        trainer: Any = self.trainer
        shards = {f"the shards of {name}": digest(dict(folder.shards))[:10] for name, folder in self.sets.items()}
        if self._clean_shards:
            counts = {file_name(url): shard.samples for url, shard in self._clean_shards.items()}
            shards["the shards of data.clean"] = digest(counts)[:10]
        return {
            **shards,
            "data.shares": str(self.shares),
            "data.batch_size": self.batch_size,
            "data.shuffle_buffer": self.shuffle_buffer,
            "data.seed": self.seed,
            "processes": trainer.world_size,
            "batches an epoch": len(self._batches),
        }

    def _skip_what_was_had(self, sampler: BatchSampler) -> None:
        """Begin where the run was stopped within an epoch, if it was.

        Raises:
            ValueError: If the epoch would go on in another order than it began in.
        """
        trainer: Any = self.trainer
        if not (steps := trainer.fit_loop.epoch_loop.batch_progress.current.ready):
            self._dealt_to = self.num_workers
            return
        now = self._order
        other = [
            f"{name} {self._begun.get(name)} there, {now.get(name)} now"
            for name in {**now, **self._begun}
            if name != _WORKERS and self._begun.get(name) != now.get(name)
        ]
        if other:
            raise ValueError(
                f"the run was stopped within an epoch, which must go on as it began ({'; '.join(other)}): keep these "
                "settings, or begin the epoch again by naming last.ckpt of the run's folder as --ckpt_path"
            )
        sampler.skip(steps, self._dealt_to)

    def val_dataloader(self) -> DataLoader[PairBatch] | list[Any]:
        """Return the batches of this process's validation shards; none without ``validation``."""
        if not self.attacks:
            return []
        return load_pairs(self.attacks, self.trainer, self.batch_size, self.num_workers)

    @property
    def _batches(self) -> TrainingBatches:
        sources = {source: share for source, share in self.shares.items() if source != CLEAN}
        streams: dict[str, Stream] = {}
        takes: dict[str, int] = {}
        if self.sets:
            streams["adversarial"] = PairStream(self.sets, sources, self.decoder, self.augmenter)
        if self._clean_shards:
            streams["clean"] = CleanStream(self._clean_shards, self._clean_decoder, self.augmenter)
            if CLEAN in self.shares:
                images = sum(streams["adversarial"].counts.values())
                takes["clean"] = round(images * self.shares[CLEAN] / math.fsum(sources.values()))
        side = self.decoder.image_size
        return TrainingBatches(streams, takes, self.batch_size, self.shuffle_buffer, self.seed, side)

    def _count_clean(self) -> dict[str, CleanShard]:
        """Count in one process: the others would read the same shards."""
        if self.clean is None:
            return {}
        peers: Peers[None] = Peers(None)  # wait longer than collectives do; there may be much to read
        trainer: Any = self.trainer
        shards = count_clean(list_shards(self.clean), self._clean_decoder) if trainer.is_global_zero else {}
        for line in describe_skips(add_counts(shard.skipped for shard in shards.values())):
            logger.warning("samples of data.clean are left out: %s", line)
        return peers.gather(shards)[0]

    def on_before_batch_transfer(self, batch: TrainBatch | PairBatch, dataloader_idx: int) -> TrainBatch | PairBatch:
        """Say which samples were left out since their images cannot be decoded, each once."""
        for sample in batch.left_out if isinstance(batch, TrainBatch) else ():
            if sample not in self._left_out:
                self._left_out.add(sample)
                logger.warning("sample %d that is left out: %s", len(self._left_out), sample)
        return batch


class _LateLoader(DataLoader[TrainBatch]):
    """Starts to load when the first batch is asked for.

    In a run that is resumed, Lightning makes the iterator before it tells the sampler which epoch it is, and before it
    knows how many batches of it were had.

    Attributes:
        begin: Called before each epoch.
    """

    begin: Callable[[], None]

    def __iter__(self) -> Iterator[TrainBatch]:  # type: ignore[override]  # torch says its own class, without need
        self.begin()
        yield from super().__iter__()
