"""How far an evaluation is that has no results yet, in words."""

from __future__ import annotations

from typing import Any

from lit_adv.cli.status import Status
from lit_adv.shards import storage
from lit_adv.shards.counts import COUNTS_FOLDER, INDEX_FILE, counts_file
from lit_adv.shards.remote import redact
from lit_adv.shards.verify.report import printable


def look(folder: str) -> Status:
    """Look at the folder of an evaluation that runs, or was stopped.

    Raises:
        OSError: If it cannot be read.
        ValueError: If what it says of itself is damaged.
    """
    counts = storage.join(folder, COUNTS_FOLDER)
    present = storage.list_names(counts)
    if INDEX_FILE not in present:
        return Status("counts    none yet", False, None)
    attacks, targets = _parse(storage.read_json(url := storage.join(counts, INDEX_FILE)), url)
    done = {
        attack: sum(
            counts_file(attack, shard) in present and counts_file(attack, shard, target) in present
            for shard in shards
            for target in targets
        )
        for attack, shards in attacks.items()
    }
    wanted = {attack: len(shards) * len(targets) for attack, shards in attacks.items()}
    lines = [
        f"counts    {sum(done.values())} of {sum(wanted.values())} are kept, of an attack, a shard and a target each"
    ]
    lines += [f"          {done[attack]} of {wanted[attack]} of {attack}" for attack in attacks]
    return Status("\n".join(map(printable, lines)), False, None)


def _parse(index: Any, url: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return each attack's shards, and the targets."""
    try:
        attacks = {name: [str(shard) for shard in folder["shards"]] for name, folder in index["attacks"].items()}
        return attacks, [str(target) for target in index["targets"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{redact(url)} is damaged") from error
