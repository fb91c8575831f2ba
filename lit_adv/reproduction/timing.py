"""How long a pass takes here."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import torch

from lit_adv.models import load_model, optimize
from lit_adv.precision import fast_precision

_BATCH = {"cuda": 32, "cpu": 4}
_REPEATS = 2


def measure_passes(specs: list[str], image_size: int, accelerator: str, file: str) -> None:
    """Measure a pass forward and backward of each model, and add it to a JSON file of seconds an image by spec.

    Args:
        specs: The models.
        image_size: Side of the images, in pixels.
        accelerator: ``cpu``, or whatever is there.
        file: The file.
    """
    device = "cuda" if torch.cuda.is_available() and accelerator != "cpu" else "cpu"
    known = json.loads(Path(file).read_text()) if Path(file).is_file() else {}
    images = torch.rand(_BATCH[device], 3, image_size, image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    for spec in specs:
        with suppress(OSError, ValueError):  # the job tells what is wrong with the model
            known[spec] = _seconds(optimize(load_model(spec)).to(device), images, device)
    Path(file).write_text(json.dumps(known, indent=1))


def _seconds(model: torch.nn.Module, images: torch.Tensor, device: str) -> float:
    started = 0.0
    for number in range(_REPEATS + 1):
        if number == 1:  # the first is slower: memory is fetched, kernels are chosen
            started = _now(device)
        x = images.clone().requires_grad_()
        with torch.autocast(device, torch.bfloat16, enabled=fast_precision(device) != "32-true"):
            loss = model(x).float().logsumexp(1).sum()
        torch.autograd.grad(loss, x)
    return (_now(device) - started) / (_REPEATS * len(images))


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
