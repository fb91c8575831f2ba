"""Re-read a generation job's output and name every fault: ``python -m lit_adv.data.verify FOLDER``.

Nothing in the folder is trusted: shards and sidecars may be damaged or made to harm. What is right is what the
shards themselves say; sidecars, manifest and, on request, the input shards must agree with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from lit_adv.data import storage
from lit_adv.data.decode import Decoder, SampleError, decode_stored
from lit_adv.data.distance import distance
from lit_adv.data.job import JOB_FILE, differences, digest
from lit_adv.data.manifest import MANIFEST_FILE, TIMM_FILE, totals_files
from lit_adv.data.remote import redact
from lit_adv.data.shard_file import AdversarialSample
from lit_adv.data.shards import list_shards, shard_name
from lit_adv.data.sidecar import Sidecar, read_sidecars, sidecar_url
from lit_adv.data.tar import IndexedSample, ShardError, index_samples, read_sample

CONFIG_FILE = "config.yaml"
_REASONS_SHOWN = 5  # for one shard; a damaged one may have a fault in every image


class Fault(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        name: The shard or file.
        reason: What is wrong.
        files: Names of the files whose removal lets a resumed run mend it; none if that would not help.
    """

    name: str
    reason: str
    files: tuple[str, ...] = ()


@dataclass
class Report:
    """What a verification found.

    Attributes:
        whole: Names of the shards that are as they should be.
        missing: What is still to be made by running the job again; normal for a job that was interrupted.
        faults: What must not be.
    """

    whole: list[str] = field(default_factory=list)
    missing: list[Fault] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all is there and as it should be."""
        return not self.missing and not self.faults

    @property
    def removable(self) -> list[str]:
        """Names of the files to remove before the job is run again."""
        files = {name for fault in self.missing + self.faults for name in fault.files}
        # Both tell of shards that are gone then.
        return sorted(files | {MANIFEST_FILE, TIMM_FILE} if files else files)

    def __str__(self) -> str:
        lines = [f"{fault.name}: {fault.reason}" for fault in self.faults + self.missing]
        lines.append(f"{len(self.whole)} shards are whole, {len(self.missing)} missing, {len(self.faults)} faults")
        return "\n".join(map(_printable, lines))


def _printable(line: str) -> str:
    """Cut credentials out of URLs, and escape what would act on a terminal; names and keys may hold anything."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in redact(line))


class _Job(NamedTuple):
    """What ``job.json`` says about the shards."""

    config: dict[str, Any]
    fingerprint: str
    shards: list[str]
    decoder: Decoder
    budget: int | None
    image_format: str
    clean_images: bool

    @property
    def extensions(self) -> set[str]:
        """Extensions of the files that every sample has."""
        clean = {f"clean.{self.image_format}"} if self.clean_images else set()
        return {self.image_format, "cls", "json"} | clean


def verify(folder: str, source: str | Sequence[str] | None = None, threads: int = 4) -> Report:
    """Check everything in an output folder.

    Args:
        folder: URL of the output folder.
        source: The input shards, as for generation, if keys and labels are to be compared with them.
        threads: Shards that are checked at a time.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: If there is no such folder, or ``source`` names shards that are not there.
    """
    present = storage.list_names(folder)
    if not present:
        raise FileNotFoundError(f"the folder {redact(folder)} is empty or not there")
    sources = {} if source is None else {shard_name(url): url for url in list_shards(source)}
    try:
        job = _read_job(folder)
    except FileNotFoundError:
        return Report(faults=[Fault(JOB_FILE, f"it is missing; {folder} is not the output of a generation job")])
    except (OSError, ValueError) as error:
        return Report(faults=[Fault(JOB_FILE, f"it cannot be used: {error}", (JOB_FILE,))])
    report = Report()
    if source is not None and set(sources) != set(job.shards):
        odd = sorted(set(sources) ^ set(job.shards))
        report.faults.append(Fault(JOB_FILE, f"its shards are not those of the source, for example {odd[0]!r}"))
    proven = [name for name in job.shards if f"{name}.json" in present]
    report.missing += _missing(job.shards, present)
    check = partial(_check_shard, folder, job, sources if source is not None else None)
    with ThreadPoolExecutor(threads) as pool:
        for name, faults in zip(proven, pool.map(lambda name: list(check(name)), proven), strict=True):
            report.faults += faults
            if not faults:
                report.whole.append(name)
    report = _blame_job(report, proven)
    report.faults += _strays(folder, present, job.shards)
    _check_totals(folder, job, present, report)
    return report


def repair(folder: str, report: Report) -> None:
    """Remove what a verification found faulty, so that running the job again makes it anew."""
    for name in report.removable:
        storage.remove(storage.join(folder, name))


def _read_job(folder: str) -> _Job:
    """Read ``job.json``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it does not describe a generation job.
    """
    config = storage.read_json(storage.join(folder, JOB_FILE))
    try:
        data, output, budget = dict(config["data"]), dict(config["output"]), config["budget"]
        shards, batch_size = data.pop("shards"), data.pop("batch_size")
        texts = [*shards, output["format"], data["label_field"]]
        counts = [batch_size, *(data[name] for name in ("image_size", "resize", "num_classes"))]
        decoder = Decoder(**data)
        job = _Job(config, digest(config), shards, decoder, budget, output["format"], output["clean_images"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no record of a generation job ({type(error).__name__}: {error})") from error
    if not (
        isinstance(shards, list)
        and all(isinstance(text, str) for text in texts)
        and all(type(count) is int and 0 < count < 2**31 for count in counts)
        and (budget is None or (type(budget) is int and budget >= 0))
        and isinstance(output["clean_images"], bool)
        and job.image_format in ("webp", "png")
    ):
        raise ValueError("it is no record of a generation job: a setting has a value of another type")
    return job


def _missing(shards: Iterable[str], present: set[str]) -> Iterator[Fault]:
    for name in shards:
        if f"{name}.json" in present:
            continue
        if f"{name}.tar" in present:
            yield Fault(name, "it has no sidecar, so nothing proves that it is whole", (f"{name}.tar",))
        else:
            yield Fault(name, "it has not been made")


def _strays(folder: str, present: set[str], shards: Sequence[str]) -> Iterator[Fault]:
    expected = {f"{name}{extension}" for name in shards for extension in (".tar", ".json")}
    for name in sorted(present - expected - {JOB_FILE, CONFIG_FILE, MANIFEST_FILE, TIMM_FILE}):
        if not storage.is_scratch(name):
            yield Fault(name, "it is none of the job's files; move it away")
        elif not storage.is_in_use(storage.join(folder, name)):
            yield Fault(name, "a process that was killed left it unfinished", (name,))


def _blame_job(report: Report, proven: Sequence[str]) -> Report:
    """If no shard agrees with the recorded settings, the record is at fault: keep the shards."""
    foreign = [fault for fault in report.faults if fault.reason == _OTHER_SETTINGS]
    if not proven or len(foreign) < len(proven):
        return report
    faults = [fault for fault in report.faults if fault.reason != _OTHER_SETTINGS]
    faults.append(Fault(JOB_FILE, "no shard was made with the settings that it records", (JOB_FILE,)))
    return Report(report.whole, report.missing, faults)


_OTHER_SETTINGS = f"it was made with other settings than {JOB_FILE} records"


def _check_shard(folder: str, job: _Job, sources: Mapping[str, str] | None, name: str) -> Iterator[Fault]:
    """Yield the faults of one shard that has a sidecar."""
    files = (f"{name}.tar", f"{name}.json")
    try:
        [content] = storage.read_bytes([sidecar_url(folder, name)])
        sidecar = Sidecar.from_json(content)
    except (OSError, ValueError) as error:
        yield Fault(name, f"its sidecar cannot be used: {error}", files)
        return
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
        yield from _check_source(name, sidecar, labels, job, sources)


def _check_sidecar(sidecar: Sidecar, name: str, job: _Job) -> Iterator[str]:
    if sidecar.shard != f"{name}.tar" or shard_name(sidecar.source_shard) != name:
        yield f"its sidecar is that of another shard, {sidecar.shard[:80]!r}"
    if sidecar.fingerprint != job.fingerprint:
        yield _OTHER_SETTINGS
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


def _check_samples(file: BufferedReader, sidecar: Sidecar, job: _Job, labels: dict[str, int]) -> Iterator[str]:
    """Yield the faults of a shard's samples and of the totals over them; collect the labels by key."""
    samples = index_samples(file, sidecar.shard, may_be_empty=True)
    side = job.decoder.image_size
    pixels = hashlib.sha256()
    records: list[AdversarialSample] = []
    for sample in samples:
        try:
            if sample.key in labels:
                raise SampleError("the shard has a sample of this key already")
            files = read_sample(file, sample)
            if files.keys() != job.extensions:
                raise SampleError(f"it has the files {sorted(files)}, not {sorted(job.extensions)}")
            image = _decode(files, job.image_format, side)
            clean = _decode(files, f"clean.{job.image_format}", side) if job.clean_images else None
            record = _read_record(files, sample.key, sidecar.source_shard, job.decoder)
            labels[sample.key] = record.label
            pixels.update(image.contiguous().numpy().data)
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
        "fooled": sum(record.fooled for record in records),
        "linf_mean": sum(record.linf for record in records) / count,
        "l2_mean": math.fsum(record.l2 for record in records) / count,
        "pixels_sha256": pixels_sha256,
    }.items():
        said = getattr(sidecar, name)
        equal = math.isclose(said, found, rel_tol=1e-9) if isinstance(found, float) else said == found
        if not equal:
            yield f"its sidecar says {name} {said}, its samples say {found}"


def _decode(files: Mapping[str, bytes], extension: str, side: int) -> Tensor:
    """Return a stored image as uint8 [3, H, W]; raises as :func:`decode_stored` does."""
    return torch.as_tensor(functional.pil_to_tensor(decode_stored(files, extension, side)))


def _read_record(files: Mapping[str, bytes], key: str, source_shard: str, decoder: Decoder) -> AdversarialSample:
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
    if files["cls"] != str(sample.label).encode() or not 0 <= sample.label < decoder.num_classes:
        raise SampleError(f"its record has the label {sample.label}, its cls file {files['cls'][:20]!r}")
    aim = sample.prediction != sample.label if sample.target is None else sample.prediction == sample.target
    if sample.fooled != aim:
        raise SampleError(f"its record says fooled {sample.fooled} and does not agree with its own classes")
    return sample


def _check_budget(record: AdversarialSample, image: Tensor, clean: Tensor | None, budget: int | None) -> None:
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


def _check_source(
    name: str, sidecar: Sidecar, labels: Mapping[str, int], job: _Job, sources: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield where a shard does not account for its input shard. An input that cannot be read costs no output."""
    if name not in sources:
        return  # the list of shards is at fault, and reported
    try:
        with storage.staged(sources[name]) as file:
            size = os.fstat(file.fileno()).st_size
            found = list(_read_labels(file, sources[name], job.decoder))
    except (ShardError, OSError) as error:
        yield Fault(name, f"its source cannot be read: {error}")
        return
    files = (f"{name}.tar", f"{name}.json")
    if size != sidecar.source_bytes:
        yield Fault(name, f"{sources[name]} has {size} bytes, but {sidecar.source_bytes} when it was attacked", files)
    accounted = Counter(labels.keys()) + Counter(key for key, _ in sidecar.skipped)
    if accounted != Counter(key for key, _ in found):
        yield Fault(name, f"its keys are not those of {sources[name]}", files)
        return
    of_source = dict(reversed(found))  # of several samples with the same key the first one counts
    if list(labels) != [key for key in dict(found) if key in labels]:
        yield Fault(name, f"its samples are not in the order of {sources[name]}", files)
    wrong = [key for key, label in labels.items() if of_source[key] != label]
    if wrong:
        yield Fault(name, f"{len(wrong)} labels are not those of {sources[name]}, the first of {wrong[0]!r}", files)


def _read_labels(file: BufferedReader, shard: str, decoder: Decoder) -> Iterator[tuple[str, int | None]]:
    """Yield the keys and labels of an input shard without touching its images."""
    for key, members in index_samples(file, shard):
        text = {extension: member for extension, member in members.items() if extension in ("cls", "json")}
        try:
            yield key, decoder.label(read_sample(file, IndexedSample(key, text)))
        except SampleError:
            yield key, None


def _check_totals(folder: str, job: _Job, present: set[str], report: Report) -> None:
    """Compare the manifest and timm's index with what the sidecars add up to."""
    here = sorted(present & {MANIFEST_FILE, TIMM_FILE})
    if len(report.whole) < len(job.shards):
        report.faults += [Fault(name, "it stands although shards are missing or faulty", (name,)) for name in here]
        return
    wanted = totals_files(job.config, read_sidecars(folder, sorted(report.whole)))
    for name, content in wanted.items():
        if name not in present:
            report.missing.append(Fault(name, "it has not been written, although all shards are whole"))
            continue
        try:
            named = list(differences(storage.read_json(storage.join(folder, name)), content))
        except (OSError, ValueError, RecursionError) as error:
            named = [str(error)]
        if named:
            report.faults.append(Fault(name, f"it does not agree with the sidecars: {named[0][:200]}", (name,)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, 0 if all is complete and whole, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m lit_adv.data.verify", description="Re-read a generation job's output and name every fault."
    )
    parser.add_argument("folder", help="the output folder, local or remote")
    parser.add_argument("--source", help="the input shards; their keys and labels are compared, too")
    parser.add_argument("--threads", type=int, default=4, help="shards checked at a time (default: 4)")
    parser.add_argument("--repair", action="store_true", help="remove what is faulty; run the job again to make it")
    options = parser.parse_args(arguments)
    try:
        report = verify(options.folder, options.source, options.threads)
        print(report)
        if options.repair:
            repair(options.folder, report)
    except (OSError, ValueError) as error:
        print(_printable(str(error)), file=sys.stderr)
        return 1
    if options.repair and report.removable:
        print(f"removed {', '.join(report.removable)}; run the job again to make what is missing")
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
