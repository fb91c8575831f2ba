"""A folder belongs to one configuration: the first process records it, all others must agree with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from lit_adv.errors import MendableError
from lit_adv.shards import publish, storage
from lit_adv.shards.remote import redact

JOB_FILE = "job.json"

_ABSENT = object()


class ConfigMismatchError(MendableError):
    """The folder belongs to another configuration; the message names every setting that differs."""


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value, with sorted keys and a final newline."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def digest(config: Mapping[str, Any]) -> str:
    """Return a configuration's fingerprint: the SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(config)).hexdigest()


def register_job(folder: str, config: Mapping[str, Any], file_name: str = JOB_FILE) -> dict[str, Any]:
    """Record a folder's configuration, or check that it is the recorded one.

    Several processes may do so at the same moment.

    Args:
        folder: URL of the output folder.
        config: Nested settings, of JSON's types.
        file_name: The record's name in the folder.

    Returns:
        The record, whose :func:`digest` is the fingerprint of what is made in this folder.

    Raises:
        ConfigMismatchError: If the folder belongs to another configuration.
        ValueError: If the record that is there is damaged.
    """
    url = storage.join(folder, file_name)
    wanted: dict[str, Any] = json.loads(canonical_json(config))
    try:
        publish.create_exclusive(url, canonical_json(config))
        return wanted
    except FileExistsError:
        try:
            recorded = storage.read_json(url)
        except ValueError as error:
            raise ValueError(f"{error}; remove it and run again, and finished shards are kept if they fit") from error
        require_same(folder, _without_shards(recorded), wanted)
        return dict(recorded)


def require_same(folder: str, recorded: Any, wanted: Mapping[str, Any]) -> None:
    """Make sure that a folder's recorded configuration is the wanted one.

    Raises:
        ConfigMismatchError: If it is another; the message names every setting that differs.
    """
    named = list(differences(recorded, json.loads(canonical_json(wanted))))
    if named:
        raise ConfigMismatchError(
            f"{redact(folder)} belongs to a job with other settings:\n  "
            + "\n  ".join(named)
            + "\nUse those settings, choose another folder, or delete this one."
        ) from None


def _without_shards(record: Any) -> Any:
    """Leave out the list of shards, which older versions recorded among the settings."""
    if isinstance(record, dict) and isinstance(data := record.get("data"), dict):
        return record | {"data": {name: value for name, value in data.items() if name != "shards"}}
    return record


def differences(recorded: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Yield the places where two values of JSON's types differ, and how."""
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        for key in sorted(recorded.keys() | wanted.keys()):
            name = f"{path}.{key}" if path else key
            yield from differences(recorded.get(key, _ABSENT), wanted.get(key, _ABSENT), name)
    elif isinstance(recorded, list) and isinstance(wanted, list):
        pairs = enumerate(zip_longest(recorded, wanted, fillvalue=_ABSENT))
        for index, (old, new) in ((index, pair) for index, pair in pairs if pair[0] != pair[1]):
            yield from differences(old, new, f"{path}[{index}]")
            break  # the first says enough: all later ones may be shifted
    elif recorded != wanted:
        yield f"{path}: {_show(recorded)} there, {_show(wanted)} now"


def _show(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)
