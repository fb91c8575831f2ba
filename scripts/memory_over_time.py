"""Attack thousands of small images in one process, or evaluate them, and watch its resident memory.

Attacks random images of 64 x 64 pixels with three steps of MI-FGSM on SqueezeNet, with all the logging of a real run.
After the first tenth of the images memory has to stay within 5 % of what it is then. ``--slow-disk`` makes the writing
of each image take longer, so that the attack is the faster of the two and the queue between them is always full.

``--evaluate`` shows as many pairs, which another process makes by FGSM on a tiny network, to two such networks, with
the counts, the page and the logging of a real run.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from lit_adv.callbacks.evaluation_report import EvaluationReport
from lit_adv.callbacks.generation_tracker import GenerationTracker
from lit_adv.callbacks.pace import Pace, print_pace
from lit_adv.callbacks.telemetry import table
from lit_adv.callbacks.writer import ShardWriter
from lit_adv.cli.shard_cli import quiet_lightning
from lit_adv.data.batch import AdversarialBatch
from lit_adv.data.evaluation import EvaluationDataModule, PairBatch
from lit_adv.data.generation import GenerationDataModule
from lit_adv.loggers import OfflineWandbLogger
from lit_adv.memory import resident_memory
from lit_adv.precision import fast_precision
from lit_adv.shards.shard_file import ShardFile
from lit_adv.tasks import EvaluationTask, GenerationTask

SIZE = 64
SHARD = 500  # images
CLASSES = 10  # that the tiny networks tell apart
TINY, OTHER = "import:tests.models_of_tests:linear", "import:tests.models_of_tests:other_linear"
TOLERANCE = 0.05


def make_shards(folder: Path, images: int) -> None:
    """Write shards of random JPEG images."""
    rng = np.random.default_rng(0)
    for first in range(0, images, SHARD):
        with tarfile.open(folder / f"random-{first:06d}.tar", "w") as tar:
            for number in range(first, min(first + SHARD, images)):
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(file, "JPEG")
                for extension, content in (("jpg", file.getvalue()), ("cls", str(number % CLASSES).encode())):
                    member = tarfile.TarInfo(f"{number:06d}.{extension}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def slow_down_disk(seconds: float) -> None:
    """Let each image take that much longer to write."""
    add = ShardFile.add

    def slowly(self: ShardFile, *arguments: Any) -> None:
        time.sleep(seconds)
        add(self, *arguments)

    ShardFile.add = slowly  # type: ignore[method-assign]


class MemorySampler(Callback):
    """Takes down the resident memory every so many images.

    Args:
        every: That many.

    Attributes:
        samples: Pairs of images attacked, or evaluated, and memory in bytes.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.images = 0
        self.samples: list[tuple[int, int]] = []

    def on_predict_batch_end(self, trainer: Trainer, module: Any, outputs: AdversarialBatch, *_: Any) -> None:
        """Look, and print what is seen."""
        self.look(len(outputs))

    def on_test_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: PairBatch, *_: Any) -> None:
        """Look, and print what is seen."""
        self.look(len(batch))

    def look(self, images: int) -> None:
        """Count images on, and take the memory down if it is time."""
        self.images += images
        if self.images // self.every > len(self.samples):
            self.samples.append((self.images, resident_memory()))
            print(f"{self.images:6d} images  {self.samples[-1][1] / 2**20:7.1f} MiB", flush=True)


def make_trainer(folder: Path, *callbacks: Callback) -> Trainer:
    """Return a Trainer that logs as a real run does."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        precision=fast_precision("cpu"),
        inference_mode=False,
        logger=[CSVLogger(str(folder)), OfflineWandbLogger(save_dir=str(folder), offline=True)],
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def attack(folder: Path, batch: int, sampler: MemorySampler) -> None:
    """Attack the images."""
    output = str(folder / "out")
    writer = ShardWriter(output, report_seconds=1.0)
    task = GenerationTask("wheel:squeezenet1_1", "mi_fgsm", {"steps": 3})
    data = GenerationDataModule(str(folder / "in"), batch, image_size=SIZE, resize=SIZE, output=output)
    make_trainer(folder, writer, GenerationTracker(), sampler).predict(task, datamodule=data, return_predictions=False)
    print(table(writer.tallies))


def evaluate(folder: Path, batch: int, sampler: MemorySampler) -> None:
    """Attack the images in another process, and evaluate that here."""
    command = [
        *(sys.executable, "-m", "lit_adv", "generate", f"--data.shards={folder}/in", f"--output.path={folder}/out"),
        *(f"--model.surrogate={TINY}", "--model.attack=fgsm", f"--data.image_size={SIZE}", f"--data.resize={SIZE}"),
        *(f"--data.num_classes={CLASSES}", f"--data.batch_size={batch}", "--trainer.accelerator=cpu"),
        *("--trainer.logger=false", "--trainer.enable_progress_bar=false"),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    report = EvaluationReport(str(folder / "report"))
    trainer = make_trainer(folder, report, Pace(), sampler)
    data = EvaluationDataModule({"fgsm": str(folder / "out")}, batch_size=batch)
    trainer.test(EvaluationTask([TINY, OTHER], str(folder / "report/counts")), data, verbose=False)
    print_pace(trainer)


def main() -> None:
    """Make the images, attack or evaluate them, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--slow-disk", type=float, default=0.0, help="seconds that each image takes longer to write")
    parser.add_argument("--evaluate", action="store_true", help="watch an evaluation instead of an attack")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_lightning()
    sampler = MemorySampler(options.images // 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        make_shards(folder / "in", options.images)
        slow_down_disk(options.slow_disk)
        (evaluate if options.evaluate else attack)(folder, options.batch, sampler)
    [reference, *later] = [memory for images, memory in sampler.samples if images >= options.images // 10]
    farthest = max(later, key=lambda memory: abs(memory - reference))
    change = farthest / reference - 1
    flat = abs(change) <= TOLERANCE
    print(f"{'flat' if flat else 'NOT FLAT'}: within {change:+.1%} of what it was after a tenth of the images")
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
