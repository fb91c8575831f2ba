"""``pack.json``: what a folder of packed shards was made from, and which of its shards this packing made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lit_adv.shards import publish, storage
from lit_adv.shards.job import ConfigMismatchError, canonical_json, require_same
from lit_adv.shards.remote import redact

PACK_FILE = "pack.json"


class Proof(NamedTuple):
    """What tells a packed shard from another file of the same name."""

    bytes: int
    sha256: str


class PackRecord:
    """The record of a folder. Every shard is added as it is made, so a killed packing goes on where it was.

    Args:
        destination: URL of the folder.
        settings: What the shards are made from, of JSON's types.
        classes: The names of the labels' classes, for the reader; the settings tell of any change.

    Raises:
        ConfigMismatchError: If the folder was packed with other settings.
        ValueError: If there is a file of that name that is no such record.
    """

    def __init__(self, destination: str, settings: Mapping[str, Any], classes: Mapping[int, str]) -> None:
        self._url = storage.join(destination, PACK_FILE)
        self._head = {**settings, "classes": {str(label): name for label, name in classes.items()}}
        self._proofs: dict[str, Proof] = {}
        try:
            publish.create_exclusive(self._url, canonical_json({**self._head, "shards": {}}))
        except FileExistsError:
            recorded, self._proofs = self._read()
            require_same(destination, recorded, settings)

    def get(self, shard: str) -> Proof | None:
        """Return the proof of a shard by its file name, None if it is not known to be made."""
        return self._proofs.get(shard)

    def check(self, shard: str, made: Proof) -> None:
        """Make sure that a shard made again is what it was.

        Raises:
            ConfigMismatchError: If the images have changed meanwhile.
        """
        if self._proofs.get(shard, made) != made:
            raise ConfigMismatchError(
                f"the images of {shard} are not those that it was first made from, as {redact(self._url)} records; "
                "pack them into another folder"
            )

    def add(self, shard: str, made: Proof) -> None:
        """Record a shard that has been published."""
        _, known = self._read()  # a process beside this one may have made others
        self._proofs = known | self._proofs | {shard: made}
        shards = {name: proof._asdict() for name, proof in self._proofs.items()}
        publish.replace(self._url, canonical_json({**self._head, "shards": shards}))

    def _read(self) -> tuple[dict[str, Any], dict[str, Proof]]:
        try:
            record = dict(storage.read_json(self._url))
            record.pop("classes", None)
            return record, {name: Proof(**proof) for name, proof in record.pop("shards", {}).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{redact(self._url)} is no record of a packing ({error}); remove it") from error
