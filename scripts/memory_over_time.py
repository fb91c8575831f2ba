"""Attack thousands of small images in one process, and watch its resident memory.

Attacks random images of 64 x 64 pixels with three steps of MI-FGSM on SqueezeNet, with all the logging of a real run.
After the first tenth of the images memory has to stay within 5 % of what it is then. ``--slow-disk`` makes the writing
of each image take longer, so that the attack is the faster of the two and the queue between them is always full.
"""

import argparse
import io
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

from lit_adv.callbacks.generation_tracker import GenerationTracker
from lit_adv.callbacks.telemetry import table
from lit_adv.callbacks.writer import ShardWriter
from lit_adv.cli.shard_cli import quiet_lightning
from lit_adv.data.batch import AdversarialBatch
from lit_adv.data.generation import GenerationDataModule
from lit_adv.loggers import OfflineWandbLogger
from lit_adv.memory import resident_memory
from lit_adv.shards.shard_file import ShardFile
from lit_adv.tasks import GenerationTask

SIZE = 64
SHARD = 500  # images
TOLERANCE = 0.05


def make_shards(folder: Path, images: int) -> None:
    """Write shards of random JPEG images."""
    rng = np.random.default_rng(0)
    for first in range(0, images, SHARD):
        with tarfile.open(folder / f"random-{first:06d}.tar", "w") as tar:
            for number in range(first, min(first + SHARD, images)):
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(file, "JPEG")
                for extension, content in (("jpg", file.getvalue()), ("cls", str(number % 1000).encode())):
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
        samples: Pairs of images attacked and memory in bytes.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.images = 0
        self.samples: list[tuple[int, int]] = []

    def on_predict_batch_end(self, trainer: Trainer, module: Any, outputs: AdversarialBatch, *_: Any) -> None:
        """Look, and print what is seen."""
        self.images += len(outputs)
        if self.images // self.every > len(self.samples):
            self.samples.append((self.images, resident_memory()))
            print(f"{self.images:6d} images  {self.samples[-1][1] / 2**20:7.1f} MiB", flush=True)


def main() -> None:
    """Make the images, attack them, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--slow-disk", type=float, default=0.0, help="seconds that each image takes longer to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_lightning()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        make_shards(folder / "in", options.images)
        slow_down_disk(options.slow_disk)
        writer, sampler = ShardWriter(str(folder / "out"), report_seconds=1.0), MemorySampler(options.images // 20)
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            precision="bf16-mixed",
            inference_mode=False,
            logger=[CSVLogger(name), OfflineWandbLogger(save_dir=name, offline=True)],
            callbacks=[writer, GenerationTracker(), sampler],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        task = GenerationTask("wheel:squeezenet1_1", "mi_fgsm", {"steps": 3})
        data = GenerationDataModule(
            str(folder / "in"), options.batch, image_size=SIZE, resize=SIZE, output=str(folder / "out")
        )
        trainer.predict(task, datamodule=data, return_predictions=False)
        print(table(writer.tallies))
    [reference, *later] = [memory for images, memory in sampler.samples if images >= options.images // 10]
    farthest = max(later, key=lambda memory: abs(memory - reference))
    change = farthest / reference - 1
    flat = abs(change) <= TOLERANCE
    print(f"{'flat' if flat else 'NOT FLAT'}: within {change:+.1%} of what it was after a tenth of the images")
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
