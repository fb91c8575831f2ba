"""A folder of adversarial shards, as its consumers find it: what made it, what it holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lit_adv.errors import MendableError
from lit_adv.shards import storage
from lit_adv.shards.job import JOB_FILE
from lit_adv.shards.job_shards import read_shards
from lit_adv.shards.manifest import MANIFEST_FILE
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import finished


class ShardRecord(NamedTuple):
    """What the manifest says of a shard.

    Attributes:
        samples: How many samples it holds.
        tar_bytes: Its size.
        sha256: Of the whole file.
    """

    samples: int
    tar_bytes: int
    sha256: str


@dataclass(frozen=True)
class AttackedFolder:
    """A finished output folder of generation.

    Attributes:
        path: Its URL.
        config: The configuration that made it, as the manifest records it.
        shards: The records of its shards that hold samples, by file name.
    """

    path: str
    config: Mapping[str, Any]
    shards: Mapping[str, ShardRecord]


class DamagedShardsError(MendableError):
    """Shards are not what their manifest says; the message names them and the remedy."""


def open_attacked(path: str) -> AttackedFolder:
    """Read the manifest of a folder of adversarial shards.

    Args:
        path: URL of the folder, local or remote.

    Returns:
        The folder's contents.

    Raises:
        FileNotFoundError: If there is no manifest, since nothing was made there or shards are missing.
        ValueError: If no shard holds an image, or the manifest is damaged.
    """
    names = storage.list_names(path)
    if JOB_FILE not in names:
        raise FileNotFoundError(
            f"{path} holds no adversarial shards (there is no {JOB_FILE}); make them: "
            f"lit-adv generate --output.path {path}"
        )
    if MANIFEST_FILE not in names:
        expected = read_shards(path, storage.read_json(storage.join(path, JOB_FILE)))
        done = finished(path).intersection(expected)
        raise FileNotFoundError(
            f"{path} is not finished: it has no {MANIFEST_FILE}, and {len(done)} of {len(expected)} shards are "
            "done; run the same generate command again to complete it"
        )
    config, records, skipped = _read_manifest(path)
    shards = {name: record for name, record in records.items() if record.samples}
    if not shards:
        raise ValueError(
            f"{path} holds no images: all {skipped} samples were skipped, and the sidecars (NAME.json) say why; mend "
            "the input shards or the data settings, and generate into another folder"
        )
    return AttackedFolder(path, config, shards)


def _read_manifest(path: str) -> tuple[dict[str, Any], dict[str, ShardRecord], int]:
    """Return the configuration, the records of all shards by name, and how many samples were skipped.

    Raises:
        ValueError: If the manifest is damaged.
    """
    try:
        manifest = storage.read_json(storage.join(path, MANIFEST_FILE))
        records = {
            record["shard"]: ShardRecord(record["samples"], record["tar_bytes"], record["sha256"])
            for record in manifest["shards"]
        }
        return dict(manifest["config"]), records, sum(record["skipped"] for record in manifest["shards"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"the {MANIFEST_FILE} of {redact(path)} is damaged ({type(error).__name__}: {error}); run lit-adv verify "
            f"{redact(path)} --repair and the same generate command again"
        ) from error


def open_paired(paths: Mapping[str, str]) -> dict[str, AttackedFolder]:
    """Read the manifests of folders in which every adversarial image has its clean image beside it.

    Args:
        paths: URLs of the folders by a name of the user's choice.

    Returns:
        The folders' contents by the same names.

    Raises:
        FileNotFoundError: If there is no manifest in one of them.
        ValueError: If shards were made without their clean images.
    """
    folders = {name: open_attacked(path) for name, path in paths.items()}
    for name, folder in folders.items():
        if not folder.config["output"]["clean_images"]:
            raise ValueError(
                f"the shards of {name!r} in {folder.path} hold no clean images beside the adversarial ones; generate "
                "them again into another folder with --output.clean_images true"
            )
    return folders


def check_shards(folder: AttackedFolder, checksums: bool = False) -> None:
    """Make sure that a folder's shards are those of its manifest.

    Args:
        folder: The folder.
        checksums: Whether to read every shard and compare its SHA-256; else only sizes are compared.

    Raises:
        DamagedShardsError: If shards are missing or differ.
    """
    urls = {name: storage.join(folder.path, name) for name in folder.shards}
    sizes = storage.file_sizes(list(urls.values()))
    damaged = {}
    for name, record in folder.shards.items():
        size = sizes.get(urls[name])
        if size is None:
            damaged[name] = "missing"
        elif size != record.tar_bytes:
            damaged[name] = f"{size} bytes instead of {record.tar_bytes}"
        elif checksums and (found := _sha256(urls[name])) != record.sha256:
            damaged[name] = f"SHA-256 {found} instead of {record.sha256}"
    if damaged:
        raise DamagedShardsError(
            f"{len(damaged)} of {len(folder.shards)} shards in {redact(folder.path)} are not those of its "
            f"{MANIFEST_FILE}; run lit-adv verify {redact(folder.path)} --repair and the same generate command again:"
            "\n  " + "\n  ".join(f"{name}: {reason}" for name, reason in damaged.items())
        )


def _sha256(url: str) -> str:
    with storage.staged(url) as file:
        return storage.sha256(file)
