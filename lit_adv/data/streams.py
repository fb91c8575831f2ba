"""The streams that training mixes: adversarial sets read in step with each other, and clean shards.

A stream says how many samples each of its shards holds, and opens a shard so that its samples can be read in any order.
What is not needed for the batch at hand is neither read nor decoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lit_adv.data.augment import Augmenter
from lit_adv.data.decoder import Decoder
from lit_adv.shards.attacked import AttackedFolder, DamagedShardsError
from lit_adv.shards.counted_shard import CountedShard, open_adversarial
from lit_adv.shards.decode import decode_stored
from lit_adv.shards.listing import IMAGE_EXTENSIONS
from lit_adv.shards.remote import redact
from lit_adv.shards.skips import SkipCount
from lit_adv.shards.tar import SampleError

#: The source of adversaries that are made on the fly.
SELF = "self"

#: What the shares of data call the clean shards beside adversarial sets.
CLEAN = "clean"


class TrainSample(NamedTuple):
    """A decoded and augmented sample.

    Attributes:
        key: Its key.
        clean: uint8 [3, H, W].
        adversarial: uint8 [3, H, W], or None if the adversary is to be made on the fly.
        label: True class.
    """

    key: str
    clean: Tensor
    adversarial: Tensor | None
    label: int


class OpenShard(Protocol):
    """A shard whose samples can be read."""

    def read(self, number: int, source: str, epoch: int) -> TrainSample:
        """Read a sample.

        Args:
            number: Its number in the shard, from 0.
            source: The adversarial set that its adversarial version is taken from, or :data:`SELF`.
            epoch: The epoch, from 0, which augmentation depends on.

        Raises:
            DamagedShardsError: If the sample cannot be used; the message names it and the remedy.
            SampleError: If the sample cannot be used, and the others can go on; the message names it.
        """

    def close(self) -> None:
        """Close the files."""


class Stream(Protocol):
    """Shards of one kind."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many samples each shard holds, by its name."""

    @property
    def shares(self) -> Mapping[str, float]:
        """Probability of each source of adversarial images for a batch; they sum to 1."""

    def open(self, shard: str) -> OpenShard:
        """Open a shard by its name.

        Raises:
            OSError: If it cannot be read.
            DamagedShardsError: If it is not what it should be; the message names it and the remedy.
        """


class PairStream:
    """Adversarial sets made from the same images: each shard is opened in all of them, and read in step.

    The clean version of an image comes from the set that its adversarial version is from.

    Args:
        sets: The sets' folders by their names; their shards must agree in names and counts.
        shares: Share of each source, in any unit; sets without one are not read.
        decoder: Knows which labels there are.
        augmenter: Changes the images.
    """

    def __init__(
        self, sets: Mapping[str, AttackedFolder], shares: Mapping[str, float], decoder: Decoder, augmenter: Augmenter
    ) -> None:
        first = next(iter(sets))
        self.counts = {name: record.samples for name, record in sets[first].shards.items()}
        total = math.fsum(shares.values())
        self.shares = {source: share / total for source, share in shares.items() if share > 0}
        self._sets = {name: folder for name, folder in sets.items() if name in self.shares} or {first: sets[first]}
        self._decoder = decoder
        self._augmenter = augmenter

    def open(self, shard: str) -> _OpenPairs:
        """Open the shard of that name in all sets.

        Raises:
            OSError: If one cannot be read.
            DamagedShardsError: If one is damaged, or its samples are not those of the others.
        """
        files = open_in_step(self._sets, shard)
        formats = {name: folder.config["output"]["format"] for name, folder in self._sets.items()}
        return _OpenPairs(files, formats, self._decoder, self._augmenter)


class CleanShard(NamedTuple):
    """What is known of a shard of clean images before training.

    Attributes:
        samples: How many samples it holds.
        left_out: The numbers of those that cannot be used.
        skipped: Why, summed by reason.
    """

    samples: int
    left_out: frozenset[int]
    skipped: Mapping[str, SkipCount]


class CleanStream:
    """Clean images, for which there is no adversarial version but one made on the fly.

    Args:
        shards: The shards, by their URLs. Only those of their samples that can be used are counted and numbered.
        decoder: Knows where a label is, and which there are.
        augmenter: Crops the images.
    """

    shares: Mapping[str, float] = {SELF: 1.0}

    def __init__(self, shards: Mapping[str, CleanShard], decoder: Decoder, augmenter: Augmenter) -> None:
        usable = {url: shard.samples - len(shard.left_out) for url, shard in shards.items()}
        self.counts = {url: count for url, count in usable.items() if count}
        self._shards = shards
        self._decoder = decoder
        self._augmenter = augmenter

    def open(self, shard: str) -> _OpenClean:
        """Open a shard by its URL.

        Raises:
            OSError: If it cannot be read.
            DamagedShardsError: If it is damaged.
        """
        remedy = "the shard must not change while it is in use"
        samples, left_out, _ = self._shards[shard]
        numbers = [number for number in range(samples) if number not in left_out]
        return _OpenClean(CountedShard(shard, samples, remedy), numbers, self._decoder, self._augmenter)


class _OpenPairs:
    """One shard's versions in several sets; see :class:`OpenShard`."""

    def __init__(
        self, files: Mapping[str, CountedShard], formats: Mapping[str, str], decoder: Decoder, augmenter: Augmenter
    ) -> None:
        self._files = files
        self._formats = formats
        self._decoder = decoder
        self._augmenter = augmenter

    def read(self, number: int, source: str, epoch: int) -> TrainSample:
        name = next(iter(self._files)) if source == SELF else source
        extension = self._formats[name]
        images = [f"clean.{extension}"] if source == SELF else [f"clean.{extension}", extension]
        with self._files[name].sample(number, {"cls", *images}) as (key, files):
            label = self._decoder.label(files)
            stored = [decode_stored(files, image, self._decoder.image_size) for image in images]
        decoded = torch.stack([torch.from_numpy(pixels).permute(2, 0, 1) for pixels in stored])
        clean, *adversarial = self._augmenter.shift(decoded, key, epoch).unbind()
        return TrainSample(key, clean, adversarial[0] if adversarial else None, label)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _OpenClean:
    """A shard of clean images; see :class:`OpenShard`."""

    def __init__(self, file: CountedShard, numbers: Sequence[int], decoder: Decoder, augmenter: Augmenter) -> None:
        self._file = file
        self._numbers = numbers
        self._decoder = decoder
        self._augmenter = augmenter

    def read(self, number: int, source: str, epoch: int) -> TrainSample:
        images = {self._decoder.image_field or "jpg", *IMAGE_EXTENSIONS}
        with self._file.sample(self._numbers[number], {*images, "cls", "json"}) as (key, files):
            pass
        try:
            label, image = self._decoder.label(files), self._decoder.image(files)
        except SampleError as error:  # of its image, the rest is known to be right
            raise SampleError(f"{redact(self._file.url)}: sample {key!r}: {error}") from error
        return TrainSample(key, self._augmenter.crop(image, key, epoch), None, label)

    def close(self) -> None:
        self._file.close()


def open_in_step(sets: Mapping[str, AttackedFolder], shard: str) -> dict[str, CountedShard]:
    """Open the shard of some name in several adversarial sets, and compare its keys.

    Returns:
        The files by the sets' names; the caller closes them.

    Raises:
        OSError: If one cannot be read.
        DamagedShardsError: If one is damaged, or its samples are not those of the others.
    """
    with ExitStack() as opened:
        files = {}
        for name, folder in sets.items():
            files[name] = open_adversarial(folder, shard)
            opened.callback(files[name].close)
        _require_same_keys(files)
        opened.pop_all()
    return files


def _require_same_keys(files: Mapping[str, CountedShard]) -> None:
    (_, first), *others = files.items()
    for name, file in others:
        for number, (expected, key) in enumerate(zip(first.keys, file.keys, strict=True)):
            if key != expected:
                raise DamagedShardsError(
                    f"{redact(file.url)}: sample {number} is {key!r}, but it is {expected!r} in {redact(first.url)}; "
                    f"generate both sets from the same shards, or remove {name!r} from data.adversarial"
                )
