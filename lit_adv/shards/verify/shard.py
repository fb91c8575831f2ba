"""Checking one finished shard against its sidecar and against itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader

from lit_adv.shards import storage
from lit_adv.shards.decode import Pixels, decode_stored
from lit_adv.shards.distance import distance
from lit_adv.shards.job import JOB_FILE
from lit_adv.shards.labels import LabelReader
from lit_adv.shards.listing import shard_name
from lit_adv.shards.shard_file import AdversarialSample, ShardCounts, update_digest
from lit_adv.shards.sidecar import Sidecar, sidecar_url
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample
from lit_adv.shards.verify.recorded_job import RecordedJob
from lit_adv.shards.verify.report import Fault
from lit_adv.shards.verify.source import check_source

OTHER_SETTINGS = f"it was made with other settings than {JOB_FILE} records; move it and its sidecar away"
_REASONS_SHOWN = 5  # for one shard; a damaged one may have a fault in every image


def check_shard(folder: str, job: RecordedJob, sources: Mapping[str, str] | None, name: str) -> Iterator[Fault]:
    """Yield the faults of one shard that has a sidecar.

    A tar is named as one to remove only if a sidecar proves that this job made it.
    """
    try:
        sidecar = _read_sidecar(folder, name)
    except (OSError, ValueError) as error:
        yield Fault(name, f"its sidecar cannot be used: {error}", (f"{name}.json",))
        return
    files = _removable(sidecar, name, job)
    labels: dict[str, int] = {}
    reasons = list(_check_sidecar(sidecar, name, job))
    try:
        with storage.staged(storage.join(folder, f"{name}.tar")) as file:
            reasons += _check_file(file, sidecar)
            reasons += _check_samples(file, sidecar, job, labels)
    except ShardError as error:
        reasons.append(error.reason)
    except OSError as error:
        reasons.append(f"it cannot be read: {error}")
    for reason in reasons[:_REASONS_SHOWN]:
        yield Fault(name, reason, files)
    if (more := len(reasons) - _REASONS_SHOWN) > 0:
        yield Fault(name, f"and {more} more faults", files)
    if sources is not None and not reasons:
        yield from check_source(name, sidecar, labels, job, sources)


def is_own(folder: str, job: RecordedJob, name: str) -> bool:
    """Tell whether a sidecar proves that this job made a shard, whatever has become of it."""
    try:
        return f"{name}.tar" in _removable(_read_sidecar(folder, name), name, job)
    except (OSError, ValueError):
        return False


def _read_sidecar(folder: str, name: str) -> Sidecar:
    [content] = storage.read_bytes([sidecar_url(folder, name)])
    return Sidecar.from_json(content)


def _removable(sidecar: Sidecar, name: str, job: RecordedJob) -> tuple[str, ...]:
    """Return the files of a shard that are this job's to remove."""
    if sidecar.fingerprint != job.fingerprint:
        return ()
    return (f"{name}.tar", f"{name}.json") if sidecar.shard == f"{name}.tar" else (f"{name}.json",)


def _check_sidecar(sidecar: Sidecar, name: str, job: RecordedJob) -> Iterator[str]:
    if sidecar.shard != f"{name}.tar" or shard_name(sidecar.source_shard) != name:
        yield f"its sidecar is that of another shard, {sidecar.shard[:80]!r}"
    if sidecar.fingerprint != job.fingerprint:
        yield OTHER_SETTINGS
    if sidecar.samples_expected != sidecar.samples_written + len(sidecar.skipped):
        yield (
            f"its sidecar expects {sidecar.samples_expected} samples, but {sidecar.samples_written} were written and "
            f"{len(sidecar.skipped)} skipped"
        )


def _check_file(file: BufferedReader, sidecar: Sidecar) -> Iterator[str]:
    size = file.seek(0, 2)
    if size != sidecar.tar_bytes:
        yield f"it has {size} bytes, its sidecar says {sidecar.tar_bytes}"
    elif storage.sha256(file) != sidecar.sha256:
        yield "its SHA-256 is not that of its sidecar"


def _check_samples(file: BufferedReader, sidecar: Sidecar, job: RecordedJob, labels: dict[str, int]) -> Iterator[str]:
    """Yield the faults of a shard's samples and of the totals over them; collect the labels by key."""
    samples = index_samples(file, sidecar.shard)
    side = job.image_size
    pixels = hashlib.sha256()
    records: list[AdversarialSample] = []
    for sample in samples:
        try:
            if sample.key in labels:
                raise SampleError("the shard has a sample of this key already")
            files = read_sample(file, sample)
            if files.keys() != job.extensions:
                raise SampleError(f"it has the files {sorted(files)}, not {sorted(job.extensions)}")
            image = decode_stored(files, job.image_format, side)
            clean = decode_stored(files, f"clean.{job.image_format}", side) if job.clean_images else None
            record = _read_record(files, sample.key, sidecar.source_shard, job.labels)
            labels[sample.key] = record.label
            update_digest(pixels, image)
            records.append(record)
            _check_budget(record, image, clean, job.budget)
        except SampleError as error:
            yield f"image {sample.key[:80]!r}: {error}"
    if len(records) == len(samples):
        yield from _check_sums(sidecar, records, pixels.hexdigest())
    elif len(samples) != sidecar.samples_written:
        yield f"it holds {len(samples)} samples, its sidecar says {sidecar.samples_written}"


def _check_sums(sidecar: Sidecar, records: Sequence[AdversarialSample], pixels_sha256: str) -> Iterator[str]:
    count = max(len(records), 1)
    for name, found in {
        "samples_written": len(records),
        **ShardCounts.of(records)._asdict(),
        "linf_mean": sum(record.linf for record in records) / count,
        "l2_mean": math.fsum(record.l2 for record in records) / count,
        "pixels_sha256": pixels_sha256,
    }.items():
        said = getattr(sidecar, name)
        if said is None:  # a sidecar of an earlier release
            continue
        equal = math.isclose(said, found, rel_tol=1e-9) if isinstance(found, float) else said == found
        if not equal:
            yield f"its sidecar says {name} {said}, its samples say {found}"
    if not {record.key for record in records if record.linf == 0}.issuperset(sidecar.not_finite or ()):
        yield "its sidecar says not_finite of images that are changed or absent"


def _read_record(files: Mapping[str, bytes], key: str, source_shard: str, reader: LabelReader) -> AdversarialSample:
    """Read a sample's record, and compare it with the sample's other files.

    Raises:
        SampleError: If it is damaged, or does not agree with itself, the key or the label file.
    """
    try:
        record = json.loads(files["json"])
        if record.pop("source_shard") != source_shard:
            raise SampleError("its record names another source shard than the sidecar")
        sample = AdversarialSample(**{"target": None, **record})
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise SampleError(f"its record cannot be used ({type(error).__name__})") from error
    whole_numbers = (sample.label, sample.prediction_clean, sample.prediction, sample.linf, sample.target or 0)
    if (
        any(type(number) is not int for number in whole_numbers)
        or type(sample.fooled) is not bool
        or type(sample.l2) not in (int, float)
        or not math.isfinite(sample.l2)
    ):
        raise SampleError("a value of its record has another type")
    if sample.key != key:
        raise SampleError(f"its record has the key {str(sample.key)[:80]!r}")
    if files["cls"] != str(sample.label).encode() or not 0 <= sample.label < reader.num_classes:
        raise SampleError(f"its record has the label {sample.label}, its cls file {files['cls'][:20]!r}")
    aim = sample.prediction != sample.label if sample.target is None else sample.prediction == sample.target
    if sample.fooled != aim:
        raise SampleError(f"its record says fooled {sample.fooled} and does not agree with its own classes")
    return sample


def _check_budget(record: AdversarialSample, image: Pixels, clean: Pixels | None, budget: int | None) -> None:
    """Measure the change of every pixel, or trust the record where there is no clean image.

    Raises:
        SampleError: If the change is not the recorded one, or beyond the budget.
    """
    if clean is not None:
        linf, l2 = distance(image, clean)
        if linf != record.linf or not math.isclose(l2, record.l2, abs_tol=2e-6):
            raise SampleError(
                f"it is changed by {linf} grey levels and {l2:.6f} in L2, not {record.linf} and {record.l2}"
            )
    if budget is not None and not 0 <= record.linf <= budget:
        raise SampleError(f"it is changed by {record.linf} grey levels, the budget is {budget}")
