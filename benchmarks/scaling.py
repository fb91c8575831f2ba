"""How much faster two processes are than one, on two cores with one thread each.

    python -m benchmarks.scaling 'imagenet-sample-{000000..000007}.tar' --config configs/generate/si_ni_ti_dim.yaml

Runs generate.py on the same shards with one process, then with two, each with one CPU thread, reading and decoding in
the process itself. Settings after the pattern go to generate.py. Prints the speed from the first batch to the last
image on disk, and that of the whole run with its start-up (imports, loading the model, meeting the other process). For
fair shares, give as many images in the even shards as in the odd ones.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Speed(NamedTuple):
    """What one run showed, in images and seconds."""

    images: float
    steady: float
    seconds: float

    @property
    def whole(self) -> float:
        """Images a second of the whole run, with its start-up."""
        return self.images / self.seconds


def run(processes: int, shards: str, settings: list[str]) -> Speed:
    """Run generate.py once and read its log."""
    with tempfile.TemporaryDirectory() as folder:
        logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": folder}}
        command = [
            sys.executable, str(ROOT / "generate.py"), *settings, "--data.num_workers=0", f"--data.shards={shards}",
            f"--output.path={folder}/out", f"--trainer.logger={json.dumps(logger)}", "--trainer.accelerator=cpu",
            f"--trainer.devices={processes}", "--trainer.enable_progress_bar=false",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        with next(Path(folder).rglob("metrics.csv")).open() as file:
            last = list(csv.DictReader(file))[-1]
    return Speed(float(last["images"]), float(last["images_per_second"]), seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs; the median counts")
    options, settings = parser.parse_known_args()
    ratios: dict[str, list[float]] = {"steady": [], "whole": []}
    for _ in range(options.repeats):
        one, two = (run(processes, options.shards, settings) for processes in (1, 2))
        for name, found in ratios.items():
            found.append(getattr(two, name) / getattr(one, name))
        for processes, speed in ((1, one), (2, two)):
            start_up = speed.seconds - speed.images / speed.steady
            print(
                f"{processes} process(es): {speed.steady:.3f} images/s, {speed.whole:.3f} with a start-up of "
                f"{start_up:.1f} s ({speed.images:.0f} images)",
                flush=True,
            )
    for name, found in ratios.items():
        print(f"{name:6} ratio {statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})")


if __name__ == "__main__":
    main()
