"""The parts of benchmarks/gpu.py that run whole jobs of ``lit-adv generate`` on shards made on the spot."""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from benchmarks._gpu_networks import DEVICE, network
from benchmarks._gpu_record import Record

ROOT = Path(__file__).parents[1]


class Job(NamedTuple):
    """What is attacked."""

    network: str
    size: int
    shards: int
    images: int
    batch: int
    workers: int
    steps: int


FULL = Job("inception_v3", 299, shards=16, images=128, batch=128, workers=16, steps=10)
QUICK = Job("test_resnet", 32, shards=2, images=3, batch=2, workers=1, steps=1)


def _end_to_end(record: Record, *, quick: bool) -> None:
    """One job on all shards, and how much of its time it attacks."""
    job, folder = QUICK if quick else FULL, _prepare(record, quick)
    shutil.rmtree(folder / "first", ignore_errors=True)
    started = time.perf_counter()
    _run([_command(job, folder, "first", "*")])
    _add(record, "generate, one process", job, time.perf_counter() - started, [folder / "first"])


def _equal_bytes(record: Record, *, quick: bool) -> None:
    """The same job again, on a quarter of the shards: are its files the same?"""
    job, folder = QUICK if quick else FULL, _prepare(record, quick)
    shutil.rmtree(folder / "again", ignore_errors=True)
    pattern = f"{{000000..{(job.shards + 3) // 4 - 1:06d}}}"
    runs = ["again"] if (folder / "first").exists() else ["first", "again"]
    for run in runs:
        _run([_command(job, folder, run, pattern)])
    digests = [{path.name: _sha256(path) for path in (folder / run).glob("*.tar")} for run in ("first", "again")]
    same = sum(digests[0].get(name) == digest for name, digest in digests[1].items())
    record.add("shards whose bytes are equal in two runs", *_about(job), equal=same, of=len(digests[1]))


def _two_processes(record: Record, *, quick: bool) -> None:
    """Two jobs share one GPU and the shards."""
    job, folder = QUICK if quick else FULL, _prepare(record, quick)
    shutil.rmtree(folder / "shared", ignore_errors=True)
    # Each has its logs in a folder of its own.
    commands = [[*_command(job, folder, "shared", "*", f"logs{i}"), f"--data.job={i}/2"] for i in range(2)]
    started = time.perf_counter()
    _run(commands)
    seconds = time.perf_counter() - started
    _add(record, "generate, two processes on one device", job, seconds, [folder / f"logs{i}" for i in range(2)])


def _prepare(record: Record, quick: bool) -> Path:
    """Make the shards and the weights once, and return their folder."""
    job = QUICK if quick else FULL
    folder = record.scratch
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder / "clean", ignore_errors=True)  # a part that was stopped may have begun
    (folder / "clean").mkdir(parents=True)
    save_file(network(job.network, job.size).state_dict(), folder / "weights.safetensors")
    pictures = _pictures(min(256, job.shards * job.images), job.size)
    for shard in range(job.shards):
        with tarfile.open(folder / "clean" / f"random-{shard:06d}.tar", "w") as tar:
            for number in range(shard * job.images, (shard + 1) * job.images):
                _put(tar, f"{number:06d}.jpg", pictures[number % len(pictures)])
                _put(tar, f"{number:06d}.cls", str(number % 1000).encode())
    (folder / "ready").touch()
    return folder


def _pictures(count: int, size: int) -> list[bytes]:
    """Return JPEG files of random blobs with some noise, larger than ``size``."""
    draw = np.random.default_rng(0)
    files = []
    for _ in range(count):
        blobs = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        large = np.asarray(blobs.resize((size * 5 // 3, size * 5 // 4), Image.Resampling.BICUBIC)).astype(int)
        noisy = (large + draw.normal(0, 8, large.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _put(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _command(job: Job, folder: Path, run: str, pattern: str, logs: str = "") -> list[str]:
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": str(folder / (logs or run))}}
    return [
        sys.executable, "-m", "lit_adv", "generate", "--config", "si_ni_ti_dim",
        f"--model.surrogate=timm:{job.network}@{folder / 'weights.safetensors'}",
        f"--model.attack_options.steps={job.steps}", f"--data.shards={folder / 'clean' / f'random-{pattern}.tar'}",
        f"--data.image_size={job.size}", f"--data.batch_size={job.batch}", f"--data.num_workers={job.workers}",
        f"--output.path={folder / run}", f"--trainer.logger={json.dumps(logger)}",
        f"--trainer.accelerator={DEVICE}", "--trainer.devices=1", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip


def _run(commands: list[list[str]]) -> None:
    """Run commands beside each other."""
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for command in commands]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        raise RuntimeError(f"generate ended with status {statuses}; its message is above")


def _add(record: Record, what: str, job: Job, seconds: float, folders: list[Path]) -> None:
    """Record the speed from the first batch to the last image on disk, and that of the whole run."""
    rows = [_last_row(folder) for folder in folders]
    speeds = {"images_per_second": total(rows, "images_per_second"), "with_start": job.shards * job.images / seconds}
    parts = {
        f"seconds_{part}": total(rows, f"seconds_{part}") for part in ("attacking", "waiting", "blocked", "writing")
    }
    record.add(
        what, *_about(job), images=job.shards * job.images, **speeds, **parts, not_finite=total(rows, "not_finite")
    )


def total(rows: list[dict[str, str]], name: str) -> float:
    """Add up a column."""
    return sum(float(row[name]) for row in rows)


def _last_row(folder: Path) -> dict[str, str]:
    with next(folder.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))[-1]


def _about(job: Job) -> tuple[object, ...]:
    return (job.network, job.size, f"si_ni_ti_dim, {job.steps} steps", f"batch {job.batch}", f"{job.workers} workers")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


PARTS: dict[str, Callable[..., None]] = {
    "end_to_end": _end_to_end,
    "equal_bytes": _equal_bytes,
    "two_processes": _two_processes,
}
