"""Images for a gallery: which ones, and small pictures of them that go into a page."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from lit_adv.outcomes import Outcomes
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.counted_shard import open_adversarial
from lit_adv.shards.decode import Pixels, decode_stored

_SHARDS = 8  # that are opened for pictures; a remote one is fetched whole
_SIDE = 160  # pixels of a picture, at most
_BYTES = 5000  # of a picture; 3 of these for 200 images, in base64, come to 4 MB
_QUALITIES = (85, 70, 50, 30, 15)


class Choice(NamedTuple):
    """An image for the gallery: the ``number``-th of its part of the outcomes."""

    outcomes: Outcomes
    number: int


class Pictures(NamedTuple):
    """An image before and after, as URLs that hold the pictures themselves.

    Attributes:
        clean: The clean image.
        adversarial: The adversarial image.
        change: Their difference around mid-grey, times ``gain``.
        gain: The factor by which the largest change becomes black or white.
    """

    clean: str
    adversarial: str
    change: str
    gain: int


def choose(outcomes: Sequence[Outcomes], count: int) -> list[Choice]:
    """Choose images by the digests of their shards' names and keys, so that any run over them chooses the same.

    Attacks on the same images are shown on the same ones, as far as these are chosen for each.

    Args:
        outcomes: One for each attack and shard.
        count: How many images, over all attacks.

    Returns:
        The choice, attack by attack, in the order of the shards; at least one of each attack if ``count`` is not 0.
    """
    by_attack: dict[str, list[Outcomes]] = defaultdict(list)
    for part in outcomes:
        by_attack[part.attack].append(part)
    chosen: list[Choice] = []
    for parts in by_attack.values():
        few = few_shards(part.shard for part in parts)
        images = [Choice(part, number) for part in parts if part.shard in few for number in range(len(part.keys))]
        images.sort(key=lambda image: rank(image.outcomes.shard, image.outcomes.keys[image.number]))
        chosen += sorted(
            images[: share_of(count, len(by_attack))], key=lambda image: (image.outcomes.shard, image.number)
        )
    return chosen


def few_shards(names: Iterable[str]) -> set[str]:
    """Return the names of those of an attack's shards from which its images are chosen."""
    return set(sorted(names, key=_digest)[:_SHARDS])


def share_of(count: int, attacks: int) -> int:
    """Return how many images each attack has of ``count``: at least one, unless there are none at all."""
    return max(count // attacks, min(count, 1))


def rank(shard: str, key: str) -> bytes:
    """Return what decides between images: those of the lowest ranks are chosen."""
    return _digest(f"{shard}/{key}")


def read_pictures(chosen: Sequence[Choice], folders: Mapping[str, AttackedFolder]) -> Iterator[Pictures]:
    """Read the chosen images from their shards, each of which is opened once.

    Args:
        chosen: The images of each shard one after the other.
        folders: The folders of shards, by the attack's name.

    Raises:
        DamagedShardsError: If a shard or a sample cannot be read.
    """
    by_shard: dict[tuple[str, str], list[int]] = defaultdict(list)
    for outcomes, number in chosen:
        by_shard[outcomes.attack, outcomes.shard].append(number)
    for (attack, name), numbers in by_shard.items():
        folder = folders[attack]
        side, image_format = folder.config["data"]["image_size"], folder.config["output"]["format"]
        with closing(open_adversarial(folder, name)) as shard:
            for number in numbers:
                with shard.sample(number, {image_format, f"clean.{image_format}"}) as (_, files):
                    clean, adversarial = (
                        decode_stored(files, extension, side) for extension in (f"clean.{image_format}", image_format)
                    )
                yield draw(clean, adversarial)


def draw(clean: Pixels, adversarial: Pixels) -> Pictures:
    """Make small pictures of an image before and after.

    Args:
        clean: uint8 [H, W, 3].
        adversarial: uint8 [H, W, 3].
    """
    change = adversarial.astype(np.int16) - clean
    gain = 127 // int(np.abs(change).max().clip(1, 127))
    amplified = (127 + gain * change).clip(0, 255).astype(np.uint8)
    return Pictures(_url(clean), _url(adversarial), _url(amplified), gain)


def _url(pixels: Pixels) -> str:
    """Return a small picture as a URL that holds it, of a quality at which it is small enough."""
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    for quality in _QUALITIES:
        file = BytesIO()
        image.save(file, "jpeg", quality=quality, optimize=True)
        if len(file.getvalue()) <= _BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
