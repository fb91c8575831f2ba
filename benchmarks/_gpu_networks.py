"""What the parts of benchmarks/gpu.py measure: networks with random weights, as a job attacks them, and their sizes."""

from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_adv.models import Classifier, keep_freed_memory, optimize

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Sizes(NamedTuple):
    """How large everything is."""

    networks: dict[str, int]
    batches: tuple[int, ...]
    compiled_batch: int
    matrix: int
    steps: int | None
    seconds: float


FULL = Sizes({"inception_v3": 299, "resnet50": 224}, (64, 128, 256, 512), 256, 8192, None, 0.7)
QUICK = Sizes({"test_resnet": 32}, (2, 4), 2, 256, 1, 0.02)


def network(name: str, size: int) -> nn.Module:
    """Return a network with random weights whose activations neither vanish nor explode.

    The first statistics of a batch normalization are those of no batch, so that the layers' gains multiply; after one
    batch of noise they are like those of a trained network.
    """
    torch.manual_seed(0)
    options = {"zero_init_last": False} if name == "resnet50" else {}
    made: nn.Module = timm.create_model(name, **options)
    norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        made.train()(torch.rand(4, 3, size, size))
    for norm in norms:
        norm.momentum = 0.1
    return made.eval()


def surrogate(name: str, size: int, compile: bool = False) -> nn.Module:
    """Return a network as a job attacks it."""
    torch.backends.cudnn.deterministic = True
    keep_freed_memory()
    return optimize(Classifier(network(name, size)), compile=compile).to(DEVICE)


def noise(batch: int, size: int) -> tuple[Tensor, Tensor]:
    """Return images and labels."""
    images = torch.rand(batch, 3, size, size, device=DEVICE).to(memory_format=torch.channels_last)
    return images, torch.arange(batch, device=DEVICE) % 10


def operations(name: str, size: int) -> float:
    """Return the floating-point operations of a forward and backward pass to one image, two for a multiply-add."""
    model, (images, _) = network(name, size).requires_grad_(False).to(DEVICE), noise(1, size)
    with FlopCounterMode(display=False) as counter:
        model(images.requires_grad_()).sum().backward()
    return float(counter.get_total_flops())
