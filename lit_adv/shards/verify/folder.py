"""Checking everything in an output folder: its job, each of its shards, and the totals over them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.card import CARD_FILE
from lit_adv.shards.failures import is_failure
from lit_adv.shards.job import JOB_FILE, differences
from lit_adv.shards.job_shards import SHARDS_FILE, read_shards
from lit_adv.shards.listing import list_shards, shard_name
from lit_adv.shards.manifest import TOTALS_FILES, totals_files
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import finished, read_sidecars
from lit_adv.shards.verify.recorded_job import RecordedJob, read_job
from lit_adv.shards.verify.report import Fault, Report
from lit_adv.shards.verify.shard import OTHER_SETTINGS, check_shard, is_own

CONFIG_FILE = "config.yaml"


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
        job = read_job(folder)
    except FileNotFoundError:
        return Report(faults=[Fault(JOB_FILE, f"it is missing; {folder} is not the output of a generation job")])
    except (OSError, ValueError) as error:
        return Report(faults=[Fault(JOB_FILE, f"it cannot be used: {error}", (JOB_FILE,))])
    report = Report()
    shards = _read_shards(folder, job, report)
    report.left_out += _own(folder, job, finished(folder).difference(shards))
    if source is not None and set(sources) != set(shards):
        odd = sorted(set(sources) ^ set(shards))
        report.faults.append(Fault(SHARDS_FILE, f"its shards are not those of the source, for example {odd[0]!r}"))
    proven = [name for name in shards if f"{name}.json" in present]
    report.missing += _missing(shards, present)
    check = partial(check_shard, folder, job, sources if source is not None else None)
    with ThreadPoolExecutor(threads) as pool:
        for name, faults in zip(proven, pool.map(lambda name: list(check(name)), proven), strict=True):
            report.faults += faults
            if all(fault.of_source and not fault.files for fault in faults):
                report.whole.append(name)
    report = _blame_source(_blame_job(report, proven), sources)
    report.faults += _strays(folder, present, [*shards, *report.left_out])
    _check_totals(folder, job, shards, present, report)
    return report


def repair(folder: str, report: Report) -> None:
    """Remove what a verification found faulty, so that running the job again makes it anew."""
    for name in report.removable:
        publish.remove(storage.join(folder, name))


def _own(folder: str, job: RecordedJob, names: Iterable[str]) -> list[str]:
    return [name for name in sorted(names) if is_own(folder, job, name)]


def _read_shards(folder: str, job: RecordedJob, report: Report) -> list[str]:
    """Return the names of the job's shards; if there is no list, of those that are made, and say so."""
    try:
        return read_shards(folder, job.config)
    except FileNotFoundError:
        report.missing.append(Fault(SHARDS_FILE, "it is missing, so nothing says which shards belong to the job"))
    except (OSError, ValueError) as error:
        report.faults.append(Fault(SHARDS_FILE, f"it cannot be used: {error}", (SHARDS_FILE,)))
    return _own(folder, job, finished(folder))


def _missing(shards: Iterable[str], present: set[str]) -> Iterator[Fault]:
    for name in shards:
        if f"{name}.json" in present:
            continue
        if f"{name}.tar" in present:
            yield Fault(
                name,
                "it has no sidecar, so nothing proves that it is whole, or this job's: run the job again, and if it "
                "then says that other bytes are there, move this tar away",
            )
        else:
            yield Fault(name, "it has not been made")


def _strays(folder: str, present: set[str], shards: Sequence[str]) -> Iterator[Fault]:
    expected = {f"{name}{extension}" for name in shards for extension in (".tar", ".json")}
    for name in sorted(present - expected - TOTALS_FILES - {JOB_FILE, SHARDS_FILE, CONFIG_FILE}):
        if is_failure(name):
            continue
        if not scratch.is_scratch(name):
            yield Fault(name, "it is none of the job's files; move it away")
        elif storage.local_path(folder) is None:
            yield Fault(name, "it is an upload that was cut short, or one that goes on: remove it if no job runs")
        elif not scratch.is_in_use(storage.join(folder, name)):
            yield Fault(name, "a process that was killed left it unfinished", (name,))


def _blame_job(report: Report, proven: Sequence[str]) -> Report:
    """If no shard agrees with the recorded settings, the record is at fault: keep the shards."""
    foreign = [fault for fault in report.faults if fault.reason == OTHER_SETTINGS]
    if not proven or len(foreign) < len(proven):
        return report
    faults = [fault for fault in report.faults if fault.reason != OTHER_SETTINGS]
    faults.append(Fault(JOB_FILE, "no shard was made with the settings that it records", (JOB_FILE,)))
    return Report(report.whole, report.missing, faults, report.left_out)


def _blame_source(report: Report, sources: Collection[str]) -> Report:
    """If at most half of the shards agree with the input that is named, it is not the job's: keep the others, too."""
    foreign = list(dict.fromkeys(fault.name for fault in report.faults if fault.of_source and fault.files))
    unread = {fault.name for fault in report.faults if fault.of_source and not fault.files}
    if not foreign or len(foreign) < len(set(sources).intersection(report.whole) - unread):
        return report
    faults = [fault._replace(files=()) if fault.of_source else fault for fault in report.faults]
    faults.append(
        Fault(
            "source",
            f"{len(foreign)} shards were not made from it as it is now, and are kept; name the input of this job, or "
            "attack this one into another folder",
        )
    )
    return Report(report.whole + foreign, report.missing, faults, report.left_out)


def _check_totals(folder: str, job: RecordedJob, shards: Sequence[str], present: set[str], report: Report) -> None:
    """Compare the manifest and timm's index with what the sidecars add up to."""
    here = sorted(present & TOTALS_FILES)
    if len(report.whole) < len(shards):
        report.faults += [Fault(name, "it stands although shards are missing or faulty", (name,)) for name in here]
        return
    wanted = totals_files(job.config, read_sidecars(folder, sorted(report.whole)))
    del wanted[CARD_FILE]  # words, which may differ from one release to the next
    for name, content in wanted.items():
        if name not in present:
            report.missing.append(Fault(name, "it has not been written, although all shards are whole"))
            continue
        try:
            named = list(differences(storage.read_json(storage.join(folder, name)), json.loads(content)))
        except (OSError, ValueError, RecursionError) as error:
            named = [str(error)]
        if named:
            report.faults.append(Fault(name, f"it does not agree with the sidecars: {named[0][:200]}", (name,)))
