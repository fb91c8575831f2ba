"""The fast attack here against SI-NI-FGSM of torchattacks: speed, and success on unseen models.

    python -m benchmarks.fast_against_torchattacks --images SHARDS --limit 100

Each attack runs in a process of its own, torchattacks as its documentation has it (a model in eval mode, float32,
images in the default layout) and this package as ``generate`` sets it up, in turn. Then models that neither has seen
judge both.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.frontier import ZOO, Images, read_images
from lit_adv.attacks import create_attack, quantize
from lit_adv.models import keep_freed_memory, load_model, optimize, to_float
from lit_adv.precision import fast_precision

OURS, THEIRS = "si_ni_ti_dim_fast", "torchattacks"


def attack_with_ours(
    images: Images, surrogate: str, levels: int, batch_size: int, steps: int | None
) -> tuple[Tensor, float]:
    """Attack as ``generate`` does, in the attack's own number of steps or another; return uint8 images and seconds."""
    keep_freed_memory()
    device = _device()
    options = {} if steps is None else {"steps": steps}
    attack = create_attack(OURS, optimize(load_model(ZOO[surrogate])).to(device), eps=levels / 255, **options)
    started, made = time.perf_counter(), []
    bf16 = fast_precision(device.type) == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for batch in images.batches(batch_size, device):
            made.append(quantize(attack(to_float(batch.pixels), batch.labels, batch.keys), batch.pixels, levels).cpu())
    return torch.cat(made), time.perf_counter() - started


def attack_with_theirs(images: Images, surrogate: str, levels: int, batch_size: int) -> tuple[Tensor, float]:
    """Attack with torchattacks; return uint8 images and seconds."""
    import torchattacks

    device = _device()
    model = load_model(ZOO[surrogate]).eval().to(device)
    attack = torchattacks.SINIFGSM(model, eps=levels / 255, alpha=levels / 255 / 10, steps=10, m=5)
    started, made = time.perf_counter(), []
    for batch in images.batches(batch_size, device):
        made.append(quantize(attack(batch.pixels.float() / 255, batch.labels), batch.pixels, levels).cpu())
    return torch.cat(made), time.perf_counter() - started


def judge(images: Images, made: Tensor, surrogate: str) -> dict[str, tuple[int, int]]:
    """Return for each unseen model how many images fool it, of how many that it knows when they are clean."""
    counts = {}
    for name, spec in ZOO.items():
        if name == surrogate:
            continue
        model = optimize(load_model(spec))
        with torch.no_grad():
            clean, adversarial = (
                torch.cat([model(to_float(part)).argmax(1) for part in torch.split(pixels, 50)])
                for pixels in (images.pixels, made)
            )
        known = clean == images.labels
        counts[name] = int((known & (adversarial != images.labels)).sum()), int(known.sum())
    return counts


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of clean shards")
    parser.add_argument("--limit", type=int, default=100, help="take this many images")
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--surrogate", choices=list(ZOO), default="lite0")
    parser.add_argument("--eps", type=int, default=16, help="budget, in grey levels")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, help="of the fast attack, each a pass; its own number by default")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of processes")
    parser.add_argument("--attack", choices=[OURS, THEIRS], help="attack with this one only, in this process")
    parser.add_argument("--output", type=Path, help="file of what --attack makes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(arguments)
    images = read_images(options.images, options.size, options.limit)
    if options.attack:
        run = partial(attack_with_ours, steps=options.steps) if options.attack == OURS else attack_with_theirs
        made, seconds = run(images, options.surrogate, options.eps, options.batch_size)
        save_file({"images": made.contiguous(), "seconds": torch.tensor(seconds)}, options.output)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{name}.safetensors") for name in (THEIRS, OURS)}
        speeds: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(options.repeats):
            for name, path in files.items():
                repeated = sys.argv[1:] if arguments is None else list(arguments)
                command = [sys.executable, "-m", "benchmarks.fast_against_torchattacks", *repeated]
                subprocess.run([*command, "--attack", name, "--output", str(path)], check=True)
                speeds[name].append(len(images.keys) / float(load_file(path)["seconds"]))
        for name, path in files.items():
            counts = judge(images, load_file(path)["images"], options.surrogate)
            success = ", ".join(f"{target} {fooled} of {known}" for target, (fooled, known) in counts.items())
            print(f"{name:<18} {statistics.median(speeds[name]):.2f} images/s; fooled: {success}")
    ratios = [ours / theirs for theirs, ours in zip(speeds[THEIRS], speeds[OURS], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)")


if __name__ == "__main__":
    main()
