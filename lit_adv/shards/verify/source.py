"""Comparing a finished shard with the input shard that it was made from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader

from lit_adv.shards import storage
from lit_adv.shards.grouping import IndexedSample
from lit_adv.shards.labels import LabelReader
from lit_adv.shards.sidecar import Sidecar
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample
from lit_adv.shards.verify.recorded_job import RecordedJob
from lit_adv.shards.verify.report import Fault


def check_source(
    name: str, sidecar: Sidecar, labels: Mapping[str, int], job: RecordedJob, sources: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield where a shard does not account for its input shard. An input that cannot be read costs no output."""
    if name not in sources:
        return  # the list of shards is at fault, and reported
    try:
        with storage.staged(sources[name]) as file:
            size = os.fstat(file.fileno()).st_size
            found = list(_read_labels(file, sources[name], job.labels))
    except (ShardError, OSError) as error:
        yield Fault(name, f"its source cannot be read: {error}", of_source=True)
        return
    for reason in _differences(sources[name], size, found, sidecar, labels):
        yield Fault(name, reason, (f"{name}.tar", f"{name}.json"), of_source=True)


def _differences(
    source: str, size: int, found: Sequence[tuple[str, int | None]], sidecar: Sidecar, labels: Mapping[str, int]
) -> Iterator[str]:
    if size != sidecar.source_bytes:
        yield f"{source} has {size} bytes, but {sidecar.source_bytes} when it was attacked"
    accounted = Counter(labels.keys()) + Counter(key for key, _ in sidecar.skipped)
    if accounted != Counter(key for key, _ in found):
        yield f"its keys are not those of {source}"
        return
    of_source = dict(reversed(found))  # of several samples with the same key the first one counts
    if list(labels) != [key for key in dict(found) if key in labels]:
        yield f"its samples are not in the order of {source}"
    wrong = [key for key, label in labels.items() if of_source[key] != label]
    if wrong:
        yield f"{len(wrong)} labels are not those of {source}, the first of {wrong[0]!r}"


def _read_labels(file: BufferedReader, shard: str, reader: LabelReader) -> Iterator[tuple[str, int | None]]:
    """Yield the keys and labels of an input shard without touching its images."""
    for key, members in index_samples(file, shard):
        text = {extension: member for extension, member in members.items() if extension in ("cls", "json")}
        try:
            yield key, reader.label(read_sample(file, IndexedSample(key, text)))
        except SampleError:
            yield key, None
