"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lit_adv.shards.manifest import TOTALS_FILES
from lit_adv.shards.remote import redact


class Fault(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        name: The shard or file.
        reason: What is wrong.
        files: Names of the files whose removal lets a resumed run mend it; none if that would not help.
        of_source: Whether the input shard alone says so; by itself the output shard is as it should be.
    """

    name: str
    reason: str
    files: tuple[str, ...] = ()
    of_source: bool = False


@dataclass
class Report:
    """What a verification found.

    Attributes:
        whole: Names of the shards that are as they should be, and not to be made again for what the input says.
        missing: What is still to be made by running the job again; normal for a job that was interrupted.
        faults: What must not be.
        left_out: Names of the shards that this job has made, but that its latest run has not named.
    """

    whole: list[str] = field(default_factory=list)
    missing: list[Fault] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all is there and as it should be."""
        return not self.missing and not self.faults

    @property
    def removable(self) -> list[str]:
        """Names of the files to remove before the job is run again."""
        files = {name for fault in self.missing + self.faults for name in fault.files}
        # Both tell of shards that are gone then.
        return sorted(files | TOTALS_FILES if files else files)

    def __str__(self) -> str:
        lines = [f"{fault.name}: {fault.reason}" for fault in self.faults + self.missing]
        if self.left_out:
            lines.append(
                f"{len(self.left_out)} shards are made but left out of the job, for example {self.left_out[0]}; move "
                "them away if other tools read the folder"
            )
        lines.append(f"{len(self.whole)} shards are whole, {len(self.missing)} missing, {len(self.faults)} faults")
        return "\n".join(map(printable, lines))


def printable(line: str) -> str:
    """Cut credentials out of URLs, and escape what would act on a terminal; names and keys may hold anything."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in redact(line))
