"""Success against passes: how far each schedule of the attack gets for its work.

    python -m benchmarks.frontier --images SHARDS --output FOLDER --half first --time-limit 300
    python -m benchmarks.frontier --images SHARDS --output FOLDER --confirm 20 50 --comdefend WEIGHTS
    python -m benchmarks.frontier --output FOLDER --report

Attacks the images with every schedule on every surrogate and budget, shows them to the models that the surrogate is
not, and keeps for each image whether it fooled them: one small file for each schedule, surrogate, budget and half of
the images. What is there is not made again, so the same command carries on where a time limit, or a kill, ended it.
``--report`` writes tables and a plot of what is there. The halves are every other image: one is to choose a schedule
by, the other to say how good the chosen one is, as ``--confirm`` does.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks._frontier_report import DEFENSES, choose, write_report
from benchmarks._frontier_schedules import DEFAULT, Schedule, parse_schedule
from lit_adv.attacks import create_attack, describe_attack, quantize, without_garbage
from lit_adv.data.decoder import Decoder
from lit_adv.defenses import Defense, comdefend, create_defense
from lit_adv.models import keep_freed_memory, load_model, optimize, to_float
from lit_adv.precision import fast_precision
from lit_adv.randomness import keyed_normal
from lit_adv.shards import publish
from lit_adv.shards.tar import index_samples, read_sample

ZOO = {
    "lite0": "wheel:efficientnet_lite0",
    "lite1": "wheel:efficientnet_lite1",
    "lite2": "wheel:efficientnet_lite2",
    "squeezenet": "wheel:squeezenet1_1",
}
DEFENDED = "lite1"
#: The schedules that are shown to the defenses as well, which takes longer than many an attack.
DEFENDED_SCHEDULES = ("si_ni_ti_dim", "si_ni_ti_dim_fast", "si_ni_ti_dim_strong")
_HALVES = {"first": ("first",), "second": ("second",), "all": ("first", "second")}


class Images(NamedTuple):
    """Decoded images: keys, pixels uint8 [N, 3, side, side] and labels int64 [N]."""

    keys: list[str]
    pixels: Tensor
    labels: Tensor

    def half(self, name: str) -> "Images":
        """Return every other image."""
        start = ("first", "second").index(name)
        return Images(self.keys[start::2], self.pixels[start::2], self.labels[start::2])

    def batches(self, size: int, device: torch.device) -> Iterator["Images"]:
        """Yield the images in batches, on the device."""
        for start in range(0, len(self.keys), size):
            part = slice(start, start + size)
            yield Images(self.keys[part], self.pixels[part].to(device), self.labels[part].to(device))


def read_images(folder: Path, side: int, limit: int | None) -> Images:
    """Decode the images of a folder of shards as ``generate`` does; at most ``limit``, from all over the folder."""
    contents: list[tuple[str, dict[str, bytes]]] = []
    for shard in sorted(folder.glob("*.tar")):
        with shard.open("rb") as file:
            contents += [(sample.key, read_sample(file, sample)) for sample in index_samples(file, shard.name)]
    if not contents:
        raise SystemExit(f"{folder} holds no shards")
    chosen = [contents[position] for position in choose_positions(len(contents), limit)]
    with ThreadPoolExecutor() as pool:
        samples = list(pool.map(Decoder(image_size=side, resize=int(side / 0.875)), [files for _, files in chosen]))
    return Images(
        [key for key, _ in chosen],
        torch.stack([sample.image for sample in samples]),
        torch.tensor([sample.label for sample in samples]),
    )


def choose_positions(count: int, limit: int | None) -> list[int]:
    """Return the positions of at most ``limit`` of ``count`` images, from all over.

    Every other one is of each half of all images, so that an image is of the same half whatever the limit.
    """
    limit = min(limit or count, count)
    even = [number * count // limit for number in range(limit)]
    return [position + (position + number) % 2 for number, position in enumerate(even)]


@cache
def _noise(device: torch.device, seed: int, purpose: str, keys: tuple[str, ...], shape: tuple[int, ...]) -> Tensor:
    return keyed_normal(seed, purpose, keys, *shape).to(device)


def _remembered_normal(device: torch.device, seed: int, purpose: str, keys: Sequence[str], *shape: int) -> Tensor:
    """Stand in for ``keyed_normal``: an image's noise is always the same, and stays where it is used."""
    return _noise(device, seed, purpose, tuple(keys), shape)


class Bench:
    """The models, the images and the folder of records."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.folder: Path = arguments.output
        fastest = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(fastest if arguments.device == "auto" else arguments.device)
        self.precision: str = arguments.precision or fast_precision(self.device.type)
        self.batch_size: int = arguments.batch_size
        self.seconds: dict[str, float] = {}  # that each target's latest judgement took
        self.images = read_images(arguments.images, arguments.size, arguments.limit)
        self.classifiers = {name: self._place(load_model(spec)) for name, spec in ZOO.items()}
        self.targets: dict[str, nn.Module] = dict(self.classifiers)
        comdefend.keyed_normal = partial(_remembered_normal, self.device)
        plain = self.classifiers[DEFENDED]
        for name in arguments.defenses:
            if name != "comdefend" or arguments.comdefend:
                options = {"weights": arguments.comdefend} if name == "comdefend" else {}
                # Only the classifier is optimized: ComDefend's networks compute in float32 without TF32, for which
                # channels_last is not the layout of a GPU's fast kernels.
                self.targets[name] = create_defense(name, plain, **options).eval().to(self.device)

    def _place(self, model: nn.Module) -> nn.Module:
        return optimize(model).to(self.device)

    def record_clean(self, half: str, names: Sequence[str]) -> None:
        """Record which clean images the targets classify correctly."""
        images, path = self.images.half(half), self.folder / f"clean.{half}.json"
        side = images.pixels.shape[-1]
        record = read_json(path) or {"keys": images.keys, "size": side, "correct": {}}
        if (record["keys"], record.get("size", side)) != (images.keys, side):
            raise SystemExit(f"{self.folder} was made of other images, or of another size: choose another folder")
        missing = [name for name in names if name not in record["correct"]]
        with self._computing():
            wrong = self._wrong(missing, [(batch, batch.pixels) for batch in images.batches(*self._batching)])
        record["correct"] |= {name: text.translate(str.maketrans("01", "10")) for name, text in wrong.items()}
        write_json(path, record)

    def record(self, schedule: Schedule, surrogate: str, levels: int, half: str, names: Sequence[str]) -> str | None:
        """Attack half of the images and record whom they fool, unless that is known; return a line that says so."""
        path = self.folder / f"{schedule.name}.{surrogate}.{levels}.{half}.json"
        settings = describe_attack(schedule.attack, **schedule.settings(levels))
        known = read_json(path) or {}
        if known and (known["settings"], known["precision"]) != (settings, self.precision):
            raise SystemExit(
                f"{path} was made with other settings, or in {known['precision']}: give the schedule another name, "
                "choose another folder, or remove that file"
            )
        judged = known.get("fooled", {})
        unseen = [name for name in names if name != surrogate and name not in judged]
        if not unseen:
            return None
        attack = create_attack(schedule.attack, self.classifiers[surrogate], **schedule.settings(levels))
        started, worked = time.perf_counter(), self._work_time()
        with self._computing():
            made = []
            for batch in self.images.half(half).batches(*self._batching):
                clean = to_float(batch.pixels)
                adversarial, _ = without_garbage(attack(clean, batch.labels, batch.keys), clean)
                made.append((batch, quantize(adversarial, batch.pixels, levels)))
            self._wait()
            seconds, worked = time.perf_counter() - started, self._work_time() - worked
            fooled = self._wrong(unseen, made)
        record = {
            "schedule": schedule.name,
            "surrogate": surrogate,
            "levels": levels,
            "half": half,
            "settings": settings,
            "passes": getattr(attack, "passes"),  # noqa: B009 - every schedule is of the gradient-sign family
            "seconds": round(seconds, 3),
            "images_per_second": round(sum(len(batch.keys) for batch, _ in made) / worked, 3),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "precision": self.precision,
            "fooled": judged | fooled,
        }
        write_json(path, record)
        shares = ", ".join(
            f"{name} {100 * text.count('1') / len(text):.1f} ({self.seconds[name]:.2f} s)"
            for name, text in fooled.items()
        )
        waited = time.perf_counter() - started - seconds
        return f"{path.stem}: {record['passes']} passes in {seconds:.2f} s, judged in {waited:.2f} s: {shares}"

    def _wrong(self, names: Sequence[str], shown: Sequence[tuple[Images, Tensor]]) -> dict[str, str]:
        """Return for each target and image, in order, whether it is misclassified: "1" if so."""
        texts = {}
        for name in names:
            started = time.perf_counter()
            model = self.targets[name]
            bits: list[int] = []
            for batch, pixels in shown:
                with torch.no_grad():
                    images = to_float(pixels)
                    scores = model(images, batch.keys) if isinstance(model, Defense) else model(images)
                bits += (scores.argmax(1) != batch.labels).int().tolist()
            texts[name] = "".join(map(str, bits))
            self.seconds[name] = time.perf_counter() - started
        return texts

    @property
    def _batching(self) -> tuple[int, torch.device]:
        return self.batch_size, self.device

    def _computing(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def _work_time(self) -> float:
        """Return a clock's seconds: on a CPU that of this process, which other work on the machine does not push."""
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a record; None if there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record in one go: a killed process leaves the old one or the new one."""
    publish.replace(str(path), f"{json.dumps(record)}\n".encode())


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the records, and of the report")
    parser.add_argument("--images", type=Path, help="folder of clean shards")
    parser.add_argument("--report", action="store_true", help="only write frontier.md, .png and .svg of what is there")
    parser.add_argument("--half", choices=list(_HALVES), default="all", help="every other image, or all")
    parser.add_argument("--schedules", nargs="+", default=list(DEFAULT), help="named attacks, or as m5-k1-t20-p1")
    parser.add_argument("--defended", nargs="*", default=list(DEFENDED_SCHEDULES), help="schedules shown to defenses")
    parser.add_argument("--defenses", nargs="+", choices=DEFENSES, default=list(DEFENSES), help="which defenses")
    parser.add_argument(
        "--confirm",
        nargs="+",
        type=int,
        metavar="PASSES",
        help="measure, on both halves and with the "
        "defenses, the best schedules of these numbers of passes by the first half, and no others",
    )
    parser.add_argument("--surrogates", nargs="+", choices=list(ZOO), default=["squeezenet", "lite0", "lite2"])
    parser.add_argument("--eps", nargs="+", type=int, default=[8, 16], help="budgets, in grey levels")
    parser.add_argument("--comdefend", type=Path, help="folder of ComDefend's weights; without it, it is left out")
    parser.add_argument("--time-limit", type=float, default=float("inf"), help="seconds after which nothing is begun")
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--limit", type=int, help="take this many images")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", choices=["bf16-mixed", "32-true"], help="by default the machine's fast one")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, or report."""
    started = time.perf_counter()
    options = parse_arguments(arguments)
    if options.report:
        print(write_report(options.output, options.half))
        return
    if options.images is None:
        raise SystemExit("--images is needed, except for --report")
    if options.confirm:
        options.schedules = options.defended = choose(options.output, options.confirm)
    schedules = [parse_schedule(name) for name in options.schedules]
    options.output.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    bench = Bench(options)
    print(f"{len(bench.images.keys)} images, {bench.device}, {bench.precision}", flush=True)
    items = [
        (schedule, surrogate, levels, half)
        for schedule in schedules
        for half in _HALVES[options.half]
        for surrogate in options.surrogates
        for levels in options.eps
    ]
    for number, (schedule, surrogate, levels, half) in enumerate(items):
        if (elapsed := time.perf_counter() - started) > options.time_limit:
            print(f"stopped after {elapsed:.0f} s with {len(items) - number} left: the same command carries on")
            return
        defended = schedule.name in options.defended and surrogate != DEFENDED
        names = [name for name in bench.targets if name in ZOO or defended]
        bench.record_clean(half, names)
        if line := bench.record(schedule, surrogate, levels, half, names):
            print(f"{elapsed:6.0f} s  {number + 1}/{len(items)}  {line}", flush=True)
    print(f"nothing is missing, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
