"""Clean images and their adversarial versions, shuffled and mixed for training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lit_adv.data.augment import Augmentation, Augmenter
from lit_adv.data.batch import TensorBatch
from lit_adv.data.batch_sampler import BatchIndex, BatchSampler
from lit_adv.data.decoder import Decoder
from lit_adv.data.epoch import EpochPlan, count_batches
from lit_adv.data.evaluation import PairBatch, load_pairs
from lit_adv.data.streams import CLEAN, SELF, CleanStream, OpenShard, PairStream, Stream, TrainSample
from lit_adv.data.training_checks import check_fit, check_in_step, check_same_images, complete_shares, count_clean
from lit_adv.peers import Peers
from lit_adv.randomness import keyed_generator
from lit_adv.shards.attacked import AttackedFolder, check_shards, open_attacked, open_paired
from lit_adv.shards.listing import list_shards


@dataclass(frozen=True)
class TrainBatch(TensorBatch):
    """Images of one training step, with one adversarial version of each where the shards have any.

    Attributes:
        clean: uint8 [B, 3, H, W], in channels_last layout.
        adversarial: uint8 [B, 3, H, W], cropped and flipped as ``clean`` is; None if the adversarial images of this
            batch are to be made against the model being trained, or if there are none.
        source: Name of the adversarial set that ``adversarial`` is from; ``self`` if it is None.
        labels: int64 [B], true classes.
        keys: The B samples' keys.
        weights: float32 [B]; 1, or 0 for an image that is only there to keep this process in step with the others, or
            every batch at the same size. All may be 0.
    """

    clean: Tensor
    adversarial: Tensor | None
    source: str
    labels: Tensor
    keys: list[str]
    weights: Tensor

    def __len__(self) -> int:
        return len(self.keys)


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
            these. Their batches are mixed with the others.
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
        self.augmenter = Augmenter(augmentation, image_size, seed)
        self.sets: dict[str, AttackedFolder] = {}
        self.attacks: dict[str, AttackedFolder] = {}
        self._clean_counts: dict[str, int] = {}

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
            ValueError: If there is nothing to train on, shards do not fit the settings or each other, or a clean sample
                cannot be used.
        """
        self.sets, self.attacks = open_paired(self._set_paths), open_paired(self._validation_paths)
        for folders in (self.sets, self.attacks):
            check_fit(folders, self.decoder.image_size, self.decoder.num_classes)
        check_in_step(self.sets)
        if stage == "fit":
            self._clean_counts = self._count_clean()
            if not len(self._batches):
                raise ValueError("there is nothing to train on; name shards as data.adversarial, data.clean or both")

    def train_dataloader(self) -> DataLoader[TrainBatch]:
        """Return this process's batches of an epoch; the Trainer sets the epoch."""
        trainer: Any = self.trainer
        batches = self._batches
        return _LateLoader(
            batches,
            batch_size=None,
            sampler=BatchSampler(batches, trainer.global_rank, trainer.world_size, self.num_workers),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

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
        if self._clean_counts:
            streams["clean"] = CleanStream(self._clean_counts, self.decoder, self.augmenter)
            if CLEAN in self.shares:
                images = sum(streams["adversarial"].counts.values())
                takes["clean"] = round(images * self.shares[CLEAN] / math.fsum(sources.values()))
        return TrainingBatches(streams, takes, self.batch_size, self.shuffle_buffer, self.seed)

    def _count_clean(self) -> dict[str, int]:
        """Count in one process: the others would read the same shards."""
        if self.clean is None:
            return {}
        peers: Peers[None] = Peers(None)  # wait longer than collectives do; there may be much to read
        trainer: Any = self.trainer
        counts = count_clean(list_shards(self.clean), self.decoder) if trainer.is_global_zero else {}
        return peers.gather(counts)[0]


class _LateLoader(DataLoader[TrainBatch]):
    """Starts to load when the first batch is asked for.

    In a run that is resumed, Lightning makes the iterator before it tells the sampler which epoch it is.
    """

    def __iter__(self) -> Iterator[TrainBatch]:  # type: ignore[override]  # torch says its own class, without need
        yield from super().__iter__()


class TrainingBatches(Dataset[TrainBatch]):
    """The batches of any epoch.

    Shards stay open from the first batch that needs them to the last, so batches should be loaded in about their order.

    Args:
        streams: What is mixed, by name.
        takes: How many samples of a stream an epoch takes, if not each once, see :class:`EpochPlan`.
        batch_size: Images a batch.
        shuffle_buffer: How many places a sample may move, see :class:`EpochPlan`.
        seed: The user's seed.
    """

    def __init__(
        self, streams: Mapping[str, Stream], takes: Mapping[str, int], batch_size: int, shuffle_buffer: int, seed: int
    ) -> None:
        self._streams = streams
        self._takes = takes
        self._batch_size = batch_size
        self._shuffle_buffer = shuffle_buffer
        self._seed = seed
        self._epoch = -1
        self._open: dict[tuple[str, str], OpenShard] = {}

    def __len__(self) -> int:
        return count_batches(self._counts, self._batch_size, self._takes)

    def __getitem__(self, index: BatchIndex) -> TrainBatch:
        if index.epoch != self._epoch:
            self._begin(index.epoch)
        stream_name, places = self._plan[index.number]
        stream = self._streams[stream_name]
        self._close(stream_name, index.number)
        source = self._draw_source(stream, index)
        samples = [self._opened(stream_name, shard).read(number, source, index.epoch) for shard, number in places]
        return _collate(samples, source, self._batch_size, repeated=index.repeated)

    @property
    def _counts(self) -> dict[str, Mapping[str, int]]:
        return {name: stream.counts for name, stream in self._streams.items()}

    def _begin(self, epoch: int) -> None:
        for shard in self._open.values():
            shard.close()
        self._open = {}
        self._plan = EpochPlan(self._counts, self._batch_size, self._shuffle_buffer, self._seed, epoch, self._takes)
        self._epoch = epoch

    def _draw_source(self, stream: Stream, index: BatchIndex) -> str:
        generator = keyed_generator(self._seed, f"source in epoch {index.epoch}", str(index.number))
        return str(generator.choice(list(stream.shares), p=list(stream.shares.values())))

    def _opened(self, stream: str, shard: str) -> OpenShard:
        if (stream, shard) not in self._open:
            self._open[stream, shard] = self._streams[stream].open(shard)
        return self._open[stream, shard]

    def _close(self, stream: str, number: int) -> None:
        """Close the stream's shards that no batch needs from ``number`` on."""
        for name, shard in list(self._open):
            if name == stream and self._plan.is_over(shard, number):
                self._open.pop((name, shard)).close()


def _collate(samples: list[TrainSample], source: str, batch_size: int, repeated: bool) -> TrainBatch:
    """Make a full batch of samples, some of which come again if there are too few."""
    full = [samples[number % len(samples)] for number in range(batch_size)]
    weights = torch.zeros(batch_size)
    if not repeated:
        weights[: len(samples)] = 1
    adversarial = [sample.adversarial for sample in full if sample.adversarial is not None]
    return TrainBatch(
        clean=_stack([sample.clean for sample in full]),
        adversarial=_stack(adversarial) if adversarial else None,
        source=source,
        labels=torch.tensor([sample.label for sample in full]),
        keys=[sample.key for sample in full],
        weights=weights,
    )


def _stack(images: list[Tensor]) -> Tensor:
    return torch.stack(images).contiguous(memory_format=torch.channels_last)
