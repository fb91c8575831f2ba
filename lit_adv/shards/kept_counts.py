"""A folder of counts: what of an evaluation is counted already, what is missing, and why."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.counts import ShardAnswers, ShardImages, counts_file
from lit_adv.shards.job import differences
from lit_adv.shards.remote import redact

logger = logging.getLogger(__name__)

Record = TypeVar("Record", ShardImages, ShardAnswers)

#: An attack's name and a shard's file name.
Pair = tuple[str, str]

_AT_ONCE = 16  # shards whose files are read together


class Counted(NamedTuple):
    """An attack's images in one shard, and the answers of those targets that have been shown them, by name."""

    images: ShardImages
    answers: dict[str, ShardAnswers]


class KeptCounts:
    """The counts of an evaluation.

    A file counts only if it is whole and made with what would be used now: the shard as its manifest has it, the
    target, and the settings that have a part in a prediction's last bits. Whatever else lies there is left alone.

    Args:
        folder: URL of the folder, local or remote.
        attacks: What was attacked, by the attack's name.
        targets: What decides each target's answers, of JSON's types, by its name.
        settings: What else does, of JSON's types.
    """

    def __init__(
        self,
        folder: str,
        attacks: Mapping[str, AttackedFolder],
        targets: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self._attacks = attacks
        self._targets = targets
        self._settings = settings
        self._reasons: Counter[str] = Counter()

    def attacks_on(self, shard: str) -> list[str]:
        """Return the names of the attacks that have a shard."""
        return [attack for attack, folder in self._attacks.items() if shard in folder.shards]

    def prepare(self) -> None:
        """Make the folder, and remove the temporary files that killed processes left there.

        Raises:
            OSError: If it cannot be written.
        """
        publish.prepare_folder(self.folder)
        scratch.remove_stale_scratch(self.folder)

    def made_with(self, attack: str, shard: str, target: str | None = None) -> dict[str, Any]:
        """Return what an attack's images in a shard, or a target's answers for them, depend on."""
        record = self._attacks[attack].shards[shard]
        made: dict[str, Any] = {"shard": {"sha256": record.sha256, "tar_bytes": record.tar_bytes}}
        return made if target is None else made | {"target": dict(self._targets[target])} | dict(self._settings)

    def read(self) -> Iterator[Counted]:
        """Yield what is kept, each pair of an attack and a shard in turn, and then log why other files do not count.

        Raises:
            OSError: If a file cannot be read.
        """
        present = storage.list_names(self.folder)
        pairs = ((attack, shard) for attack, folder in self._attacks.items() for shard in sorted(folder.shards))
        kept = (
            (pair, [target for target in self._targets if counts_file(*pair, target) in present])
            for pair in pairs
            if counts_file(*pair) in present
        )
        while some := dict(islice(kept, _AT_ONCE)):
            yield from self.read_some(some)
        for reason, files in self._reasons.items():
            logger.warning("%s; what %d files hold is counted again", reason, files)
        self._reasons.clear()

    def read_some(self, wanted: Mapping[Pair, Iterable[str]]) -> Iterator[Counted]:
        """Yield what is kept of some pairs of an attack and a shard, and of the targets that are named for each.

        Raises:
            OSError: If a file cannot be read, or there is none.
        """
        places = [(*pair, target) for pair, targets in wanted.items() for target in (None, *targets)]
        urls = [storage.join(self.folder, counts_file(*place)) for place in places]
        contents = dict(zip(places, storage.read_bytes(urls), strict=True))
        for pair, targets in wanted.items():
            if (images := self._parse(ShardImages, contents[*pair, None], *pair, None)) is not None:
                parsed = {name: self._parse(ShardAnswers, contents[*pair, name], *pair, name) for name in targets}
                yield Counted(images, {name: answers for name, answers in parsed.items() if answers is not None})

    def keep(self, counted: Counted) -> None:
        """Write the files of a shard that has been counted; the images' first, without which the others are nothing."""
        for record in (counted.images, *counted.answers.values()):
            target = record.target if isinstance(record, ShardAnswers) else None
            name = counts_file(record.attack, record.shard, target)
            publish.replace(storage.join(self.folder, name), record.to_json())

    def _parse(self, kind: type[Record], content: bytes, attack: str, shard: str, target: str | None) -> Record | None:
        """Return a file's record; None if it does not count."""
        try:
            record = kind.from_json(content)
        except ValueError as error:
            name = counts_file(attack, shard, target)
            self._reasons[f"{name} in {redact(self.folder)} is damaged: {error}"] += 1
            return None
        named = list(differences(record.made_with, self.made_with(attack, shard, target)))
        if not named:
            return record
        if any(difference.startswith("shard.") for difference in named):
            reason = f"shards of {attack!r} have changed since they were counted"
        else:
            reason = f"the counts of {target!r} were made otherwise, {'; '.join(named)}"
        self._reasons[reason] += 1
        return None
