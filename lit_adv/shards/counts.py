"""What targets make of a shard's images, as small files: one an attack and shard for the images, one more a target.

All numbers of an evaluation follow from these files, so they are what it resumes from, and what pages about it are made
of. Lists are in the order of the shard's samples.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: The folder of these files, beside the results.
COUNTS_FOLDER = "counts"

#: In that folder: which attacks, shards and targets the evaluation is of.
INDEX_FILE = "index.json"

#: L2 distances are kept in these units, as integers: their sum does not depend on its order.
L2_UNIT = 2.0**-24

_SHOWN = 60  # characters of a name in a file's name; a digest tells longer ones apart
_DIGEST = "sha256"


@dataclass(frozen=True)
class _Record:
    """What the files have in common.

    Attributes:
        attack: The user's name of the attack.
        shard: The shard's file name.
        made_with: All that has a part in the numbers, of JSON's types.
    """

    attack: str
    shard: str
    made_with: dict[str, Any]

    def to_json(self) -> bytes:
        """Return the file's content, on one line; it ends in a digest of all that stands before."""
        record = asdict(self)
        return (_dump(record | {_DIGEST: _digest(record)}) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Return the record from a file's content, which may be damaged.

        Raises:
            ValueError: If it is not what :meth:`to_json` has returned; the message says why.
        """
        try:
            record = json.loads(content)
        except RecursionError as error:
            raise ValueError("its JSON is nested too deeply") from error
        if not isinstance(record, dict) or record.keys() != {field.name for field in fields(cls)} | {_DIGEST}:
            raise ValueError("it has other fields")
        if record.pop(_DIGEST) != _digest(record):
            raise ValueError("its digest is not that of its content")
        return cls(**record)


@dataclass(frozen=True)
class ShardImages(_Record):
    """An attack's images in one shard, whatever targets make of them.

    Attributes:
        keys: The samples' keys.
        labels: The true classes.
        aims: The classes that the attack aimed at; None if it was untargeted.
        linf: Largest change of a pixel, in grey levels.
        l2: Euclidean norm of the change, pixels in [0, 1], in units of :data:`L2_UNIT`.
        clean: A digest of each clean image and its key: attacks on the same images have the same.
    """

    keys: list[str]
    labels: list[int]
    aims: list[int] | None
    linf: list[int]
    l2: list[int]
    clean: list[str]


@dataclass(frozen=True)
class ShardAnswers(_Record):
    """What a target makes of these images.

    Attributes:
        target: The target's name.
        predictions: Its classes for the adversarial images; -1 where a defense declines to decide.
        clean_predictions: Its classes for the clean images.
    """

    target: str
    predictions: list[int]
    clean_predictions: list[int]


def counts_file(attack: str, shard: str, target: str | None = None) -> str:
    """Return the file name of an attack's images in a shard, or of a target's answers for them.

    Names are for people to read; all of a name, however long, is in its file.

    Example:
        >>> counts_file("mi_fgsm", "imagenet-000000.tar", "wheel:efficientnet_lite1")
        'mi_fgsm.imagenet-000000.wheel_efficientnet_lite1.3bfebc9ed4.json'
    """
    named = [attack, shard.removesuffix(".tar"), "images" if target is None else target]
    shown = [re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:_SHOWN].lstrip(".") or "_" for name in named]
    digest = hashlib.sha256(_dump([attack, shard, target]).encode()).hexdigest()
    return ".".join([*shown, digest[:10], "json"])


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(record).encode()).hexdigest()


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
