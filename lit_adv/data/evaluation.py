"""Adversarial and clean images side by side, streamed from the shards that generation wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Self

import torch
import webdataset as wds
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_adv.data.batch import TensorBatch
from lit_adv.data.decoder import Decoder
from lit_adv.data.reader import split_by_worker
from lit_adv.shards.attacked import AttackedFolder, check_shards, open_attacked, open_paired
from lit_adv.shards.counted_shard import open_adversarial
from lit_adv.shards.decode import decode_stored
from lit_adv.shards.distance import distance
from lit_adv.shards.tar import SampleError


@dataclass(frozen=True)
class PairBatch(TensorBatch):
    """Images before and after an attack. A batch never crosses a shard's border.

    Attributes:
        attack: The user's name of the attack.
        adversarial: uint8 [B, 3, H, W], in channels_last layout.
        clean: uint8 [B, 3, H, W], in channels_last layout.
        clean_digests: Of each clean image and its key: images with the same digest get the same answers.
        labels: int64 [B], true classes.
        targets: int64 [B], the classes that the attack aimed at; None if it was untargeted.
        keys: The B samples' keys.
        linf: int64 [B], largest change of a pixel, in grey levels.
        l2: float64 [B], Euclidean norm of the change, pixels in [0, 1].
        shard: The shard's file name.
        last: Whether the shard ends with this batch.
    """

    attack: str
    adversarial: Tensor
    clean: Tensor
    clean_digests: list[str]
    labels: Tensor
    targets: Tensor | None
    keys: list[str]
    linf: Tensor
    l2: Tensor
    shard: str
    last: bool

    @property
    def clean_digest(self) -> str:
        """Of all clean images: batches with the same digest get the same answers."""
        return hashlib.sha256("".join(self.clean_digests).encode()).hexdigest()

    def without_images(self) -> Self:
        """Return the batch without its images, which take most of its memory, and on the CPU."""
        none = torch.empty(0, dtype=torch.uint8)
        return replace(self, adversarial=none, clean=none).to("cpu")

    def __len__(self) -> int:
        return len(self.keys)


class EvaluationDataModule(LightningDataModule):
    """Reads one or more folders of adversarial shards, each image once.

    Shards are dealt out to processes and data loader workers by their names, so all attacks' versions of a shard are
    read one after the other by the same worker. What a batch holds depends on the shard and the batch size alone.

    Args:
        attacks: Folders of finished adversarial shards, local or remote, by a name of your choice.
        batch_size: Images a batch.
        num_workers: Processes that read and decode.
        verify: Whether to compare every shard's SHA-256 with the manifest before anything else; sizes always are.

    Attributes:
        attacks: What the folders hold, by the attack's name.
        reading: Those of their shards that are to be read, by the attack's name; all, unless :meth:`read_only` said so.
        images: How many images this process reads.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, attacks: dict[str, str], batch_size: int = 16, num_workers: int = 0, verify: bool = False
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"got batch_size {batch_size} (at least 1) and num_workers {num_workers} (at least 0)")
        if not attacks or len(set(attacks.values())) < len(attacks):
            raise ValueError(f"data.attacks must name one or more folders, each once, not {attacks}")
        if with_slash := [name for name in attacks if "/" in name]:
            raise ValueError(f"the name of an attack also names files, so it must not hold a slash: {with_slash}")
        self.folders = attacks
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.verify = verify
        self.attacks: dict[str, AttackedFolder] = {}
        self.reading: dict[str, AttackedFolder] = {}
        self.images = 0

    def prepare_data(self) -> None:
        """Check that the shards are whole.

        Raises:
            FileNotFoundError: If a folder has no manifest.
            DamagedShardsError: If shards are missing or differ from their manifest.
        """
        for path in self.folders.values():
            check_shards(open_attacked(path), checksums=self.verify)

    def setup(self, stage: str) -> None:
        """Read the manifests.

        Raises:
            FileNotFoundError: If a folder has no manifest.
            ValueError: If shards were made without their clean images.
        """
        self.attacks = self.reading = open_paired(self.folders)

    def read_only(self, pairs: Collection[tuple[str, str]]) -> None:
        """Leave out shards that need not be read; all processes must say the same.

        Args:
            pairs: An attack's name and a shard's file name, for each shard to be read.
        """
        self.reading = {
            attack: replace(folder, shards={n: record for n, record in folder.shards.items() if (attack, n) in pairs})
            for attack, folder in self.attacks.items()
        }

    def test_dataloader(self) -> DataLoader[PairBatch]:
        """Return the batches of this process's shards."""
        trainer: Any = self.trainer
        assigned = assign_shards(self.reading, trainer)
        samples = [folder.shards[n].samples for folder in self.reading.values() for n in assigned if n in folder.shards]
        self.images = sum(samples)
        return load_pairs(self.reading, trainer, self.batch_size, self.num_workers)


def assign_shards(attacks: Mapping[str, AttackedFolder], trainer: Any) -> list[str]:
    """Return the file names of the shards that this process of a Trainer's is to read."""
    names = sorted({name for folder in attacks.values() for name in folder.shards})
    return names[trainer.global_rank :: trainer.world_size]


def load_pairs(
    attacks: Mapping[str, AttackedFolder], trainer: Any, batch_size: int, num_workers: int
) -> DataLoader[PairBatch]:
    """Return the batches of this process's shards; over all processes of the Trainer, every image comes once.

    Args:
        attacks: The folders, by the attack's name.
        trainer: The Trainer whose processes share the work.
        batch_size: Images a batch.
        num_workers: Processes that read and decode.
    """
    assigned = assign_shards(attacks, trainer)
    return DataLoader(
        read_pairs(assigned, attacks, batch_size),
        batch_size=None,
        num_workers=min(num_workers, len(assigned)),
        pin_memory=trainer.strategy.root_device.type == "cuda",
    )


def read_pairs(names: Sequence[str], attacks: Mapping[str, AttackedFolder], batch_size: int) -> wds.DataPipeline:
    """Return the iterable over all batches of some shards.

    Args:
        names: File names of the shards this process is to read; data loader workers divide them among themselves.
        attacks: The folders, by the attack's name; a folder need not have every shard.
        batch_size: Images a batch; a shard's last batch may be smaller.

    Returns:
        A pipeline of :class:`PairBatch`, without a length. It raises DamagedShardsError if a shard is not what its
        manifest says or a sample cannot be used; the message names it and the remedy.
    """
    return wds.DataPipeline(
        partial(iter, tuple(names)),
        split_by_worker,
        partial(_batch_shards, attacks=attacks, batch_size=batch_size),
    )


class _Pair(NamedTuple):
    """A decoded sample; images are uint8 [H, W, 3], the rest is as in :class:`PairBatch`."""

    key: str
    adversarial: Tensor
    clean: Tensor
    label: int
    target: int | None
    linf: int
    l2: float


def _batch_shards(names: Iterable[str], attacks: Mapping[str, AttackedFolder], batch_size: int) -> Iterator[PairBatch]:
    """Yield the batches of each shard's versions in turn."""
    for name in names:
        for attack, folder in attacks.items():
            if name in folder.shards:
                pairs, left = _read_shard(folder, name), folder.shards[name].samples
                while batch := list(islice(pairs, batch_size)):
                    left -= len(batch)
                    yield _collate(batch, attack, name, last=left == 0)


def _read_shard(folder: AttackedFolder, name: str) -> Iterator[_Pair]:
    made, image_format = folder.config["data"], folder.config["output"]["format"]
    side = made["image_size"]
    decoder = Decoder(image_size=side, resize=side, num_classes=made["num_classes"])
    with closing(open_adversarial(folder, name)) as shard:
        targeted = None
        for number in range(folder.shards[name].samples):
            with shard.sample(number, {"cls", "json", image_format, f"clean.{image_format}"}) as (key, files):
                pair = _decode_pair(key, files, decoder, image_format)
                if targeted not in (None, pair.target is not None):
                    raise SampleError("its json and those before it do not agree whether the attack was targeted")
            targeted = pair.target is not None
            yield pair


def _decode_pair(key: str, files: Mapping[str, bytes], decoder: Decoder, image_format: str) -> _Pair:
    label, target = decoder.label(files), decoder.aim(files)
    adversarial, clean = (
        decode_stored(files, extension, decoder.image_size) for extension in (image_format, f"clean.{image_format}")
    )
    linf, l2 = distance(adversarial, clean)
    return _Pair(
        key=key,
        adversarial=torch.from_numpy(adversarial),
        clean=torch.from_numpy(clean),
        label=label,
        target=target,
        linf=linf,
        l2=l2,
    )


def _collate(pairs: Sequence[_Pair], attack: str, shard: str, last: bool) -> PairBatch:
    clean = torch.stack([pair.clean for pair in pairs])
    targets = [pair.target for pair in pairs if pair.target is not None]
    return PairBatch(
        attack=attack,
        adversarial=torch.stack([pair.adversarial for pair in pairs]).permute(0, 3, 1, 2),
        clean=clean.permute(0, 3, 1, 2),
        clean_digests=[_digest(pair) for pair in pairs],
        labels=torch.tensor([pair.label for pair in pairs]),
        targets=torch.tensor(targets) if targets else None,
        keys=[pair.key for pair in pairs],
        linf=torch.tensor([pair.linf for pair in pairs]),
        l2=torch.tensor([pair.l2 for pair in pairs], dtype=torch.float64),
        shard=shard,
        last=last,
    )


def _digest(pair: _Pair) -> str:
    digest = hashlib.sha256(f"{pair.key}\0".encode())
    digest.update(pair.clean.numpy().data)
    return digest.hexdigest()[:32]
