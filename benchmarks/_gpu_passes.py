"""The parts of benchmarks/gpu.py that run in one process: matrix products, bare passes, attacks, and a profile."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks._gpu_networks import DEVICE, FULL, QUICK, Sizes, network, noise, operations, surrogate
from benchmarks._gpu_record import Record
from benchmarks.attack_overhead import bare_passes, seconds
from lit_adv.attacks import count_passes, create_attack, describe_attack, list_attacks
from lit_adv.models import Classifier

ATTACKS = ("si_ni_ti_dim", "si_ni_ti_dim_fast")


def time_one(run: Callable[[], object], enough: float) -> float:
    """Return a call's seconds, the median of three blocks of calls, after two calls to warm up."""
    seconds(run)
    repeats = max(1, round(enough / 3 / seconds(run)))

    def block() -> None:
        for _ in range(repeats):
            run()

    return statistics.median(seconds(block) / repeats for _ in range(3))


def time_two(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of two long calls, medians of two in turn, after one to warm up."""
    pairs = [(seconds(one), seconds(other)) for _ in range(3)][1:]
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return first, second


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute as a job of that precision does: by autocast, or in float32 as torch has it."""
    with torch.autocast(DEVICE, torch.bfloat16, enabled=name == "bf16"):
        yield


def _peak(record: Record, *, quick: bool) -> None:
    """Square matrix products of random numbers."""
    sizes = QUICK if quick else FULL
    kinds = (("bf16", torch.bfloat16, True), ("TF32", torch.float32, True), ("float32", torch.float32, False))
    for name, dtype, tf32 in kinds:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(sizes.matrix, sizes.matrix, device=DEVICE, dtype=dtype) for _ in range(2))
        taken = time_one(lambda a=a, b=b: a @ b, sizes.seconds)
        record.add("matrix product", f"{sizes.matrix}^3", name, TFLOP_s=2 * sizes.matrix**3 / taken / 1e12)


def _time_passes(record: Record, sizes: Sizes, name: str, kind: str, batches: tuple[int, ...], how: str) -> nn.Module:
    """Time the bare passes of one network."""
    size = sizes.networks[name]
    flops = operations(name, size)
    model = surrogate(name, size, compile=how == "compiled")
    torch.backends.cudnn.benchmark = how == "autotuned"
    torch.backends.cudnn.deterministic = how != "autotuned"
    unit = "bf16" if kind == "bf16" else "TF32"  # what the convolutions are made of
    peaks = [row["TFLOP_s"] for row in record.read() if row["what"] == "matrix product" and row["about"][1] == unit]
    for batch in batches:
        images, labels = noise(batch, size)
        started = time.perf_counter()
        try:
            with precision(kind):
                bare_passes(model, images, labels, 1)
                first = time.perf_counter() - started
                taken = time_one(lambda i=images, k=labels: bare_passes(model, i, k, 1), sizes.seconds)
        except torch.OutOfMemoryError:
            record.add("bare pass", name, size, kind, how, f"batch {batch}", batch=batch, note="out of memory")
            break
        speed = flops * batch / taken / 1e12
        numbers: dict[str, Any] = {"images_per_second": batch / taken, "TFLOP_s": speed, "GFLOP_a_pass": flops / 1e9}
        if peaks:
            numbers[f"share_of_{unit}_peak"] = speed / peaks[0]
        if DEVICE == "cuda":
            numbers["GiB"] = torch.cuda.max_memory_allocated() / 2**30
            torch.cuda.reset_peak_memory_stats()
        if how == "compiled":
            numbers["seconds_to_compile"] = first
        record.add("bare pass", name, size, kind, how, f"batch {batch}", batch=batch, **numbers)
    return model


def _passes(record: Record, *, quick: bool) -> None:
    """Bare passes in bfloat16."""
    sizes = QUICK if quick else FULL
    for name in sizes.networks:
        _time_passes(record, sizes, name, "bf16", sizes.batches, "eager")


def _float32(record: Record, *, quick: bool) -> None:
    """Bare passes in float32, whose convolutions torch has a GPU round to TF32."""
    sizes = QUICK if quick else FULL
    for name in sizes.networks:
        _time_passes(record, sizes, name, "float32", (sizes.batches[0], sizes.batches[-2]), "eager")


def _autotuned(record: Record, *, quick: bool) -> None:
    """Bare passes with the fastest of all algorithms, which need not repeat their results: what repeating costs."""
    sizes = QUICK if quick else FULL
    for name in sizes.networks:
        _time_passes(record, sizes, name, "bf16", (sizes.compiled_batch,), "autotuned")


def _attack(record: Record, *, quick: bool) -> None:
    """Attacks beside their bare passes, at the batch where these are fastest."""
    sizes = QUICK if quick else FULL
    for name, size in sizes.networks.items():
        model = surrogate(name, size)
        batch = best_batch(record, name, sizes)
        for attack in ATTACKS:
            _time_attack(record, sizes, attack, model, (name, size, "bf16", "eager"), batch)


def best_batch(record: Record, name: str, sizes: Sizes) -> int:
    """Return the size of a batch at which a network's bare passes were fastest."""
    default = {"batch": sizes.compiled_batch}
    rows = [row for row in record.read() if row["part"] == "passes" and row["about"][0] == name]
    return int(max(rows, key=lambda row: float(row.get("images_per_second", 0)), default=default)["batch"])


def _time_attack(
    record: Record, sizes: Sizes, attack: str, model: nn.Module, about: tuple[object, ...], batch: int
) -> None:
    if attack not in list_attacks():
        record.add(attack, *about, note="this version has no such attack")
        return
    options = {} if sizes.steps is None else {"steps": sizes.steps}
    images, labels = noise(batch, sizes.networks[str(about[0])])
    made, passes = create_attack(attack, model, **options), count_passes(attack, **options)
    with precision(str(about[2])):
        whole, bare = time_two(lambda: made(images, labels), lambda: bare_passes(model, images, labels, passes))
    steps = describe_attack(attack, **options)["steps"]
    record.add(
        attack, *about, f"batch {batch}", f"{steps} steps",
        images_per_second=batch / whole, passes=passes, times_its_bare_passes=whole / bare,
    )  # fmt: skip


def _torchattacks(record: Record, *, quick: bool) -> None:
    """SI-NI-FGSM here and in torchattacks, run as its documentation has it: float32, the default layout."""
    try:
        import torchattacks
    except ImportError:
        record.add("SI-NI-FGSM", "torchattacks", note="not installed")
        return
    sizes = QUICK if quick else FULL
    steps = sizes.steps or 10
    for name, size in sizes.networks.items():
        batch = min(best_batch(record, name, sizes), 128)
        images, labels = noise(batch, size)
        plain = Classifier(network(name, size)).to(DEVICE)
        theirs = torchattacks.SINIFGSM(plain, eps=16 / 255, alpha=1.6 / 255, steps=steps, m=5)
        options = {"eps": 16 / 255, "steps": steps, "scale_space": "unit"}
        ours = create_attack("si_ni_fgsm", surrogate(name, size), **options)
        their_seconds, our_seconds = time_two(
            lambda attack=theirs, i=images, k=labels: attack(i.contiguous(), k),
            lambda attack=ours, i=images, k=labels: _in_bf16(attack, i, k),
        )
        record.add(
            "SI-NI-FGSM, torchattacks (float32) and lit_adv (bf16)", name, size, f"batch {batch}", f"{steps} steps",
            images_per_second_torchattacks=batch / their_seconds, images_per_second_lit_adv=batch / our_seconds,
            ratio=their_seconds / our_seconds,
        )  # fmt: skip


def _in_bf16(attack: Callable[..., object], images: Tensor, labels: Tensor) -> None:
    with precision("bf16"):
        attack(images, labels)


def _compiled(record: Record, *, quick: bool) -> None:
    """Bare passes and the attack on compiled networks, in one size of a batch."""
    sizes = QUICK if quick else FULL
    for name, size in sizes.networks.items():
        model = _time_passes(record, sizes, name, "bf16", (sizes.compiled_batch,), "compiled")
        _time_attack(record, sizes, ATTACKS[0], model, (name, size, "bf16", "compiled"), sizes.compiled_batch)


def _profile(record: Record, *, quick: bool) -> None:
    """One step of the attack: the kernels that take longest, and how long the GPU waits."""
    sizes = QUICK if quick else FULL
    name, size = next(iter(sizes.networks.items()))
    batch = best_batch(record, name, sizes)
    images, labels = noise(batch, size)
    attack = create_attack("si_ni_ti_dim", surrogate(name, size), steps=1)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (DEVICE == "cuda")
    with precision("bf16"):
        wall = time_one(lambda: attack(images, labels), sizes.seconds)
        with profile(activities=activities) as profiler:
            seconds(lambda: attack(images, labels))
    on_gpu = DEVICE == "cuda"
    rows = [
        (event.key, event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
        if not on_gpu or str(event.device_type).endswith("CUDA")
    ]
    busy = sum(microseconds for _, microseconds, _ in rows)
    about = (name, size, "bf16", f"batch {batch}")
    record.add(
        "one step of si_ni_ti_dim", *about, milliseconds=wall * 1e3,
        device_idle_share=max(0.0, 1 - busy / 1e6 / wall), kernels=sum(count for *_, count in rows),
    )  # fmt: skip
    for key, microseconds, count in sorted(rows, key=lambda row: -row[1])[:15]:
        record.add("kernel", key[:100].replace("|", "/"), share=microseconds / max(busy, 1), calls=count)


PARTS: dict[str, Callable[..., None]] = {
    "peak": _peak,
    "passes": _passes,
    "attack": _attack,
    "profile": _profile,
    "float32": _float32,
    "torchattacks": _torchattacks,
    "autotuned": _autotuned,
    "compiled": _compiled,
}
