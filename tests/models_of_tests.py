"""Tiny classifiers that tests name as ``import:tests.models_of_tests:<function>``."""

import os
import time

import torch
from torch import Tensor, nn

from lit_adv.models import Classifier


class TwoHeaded(nn.Module):
    """Gives the logits of a network, and others."""

    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main
        self.AuxLogits = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10))
        for parameter in self.AuxLogits.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both heads."""
        return self.main(images), self.AuxLogits(images)


def linear() -> Classifier:
    """A smooth 10-class network for images of any size, the same on every call."""
    return _build(seed=0)


def other_linear() -> Classifier:
    """Another one."""
    return _build(seed=1)


def background() -> Classifier:
    """:func:`linear` with an eleventh class in front that no label means."""
    return _with_background(class_offset=0)


def without_background() -> Classifier:
    """:func:`background` with what maps its outputs to the labels: it tells the classes of :func:`linear` apart."""
    return _with_background(class_offset=1)


def two_headed() -> Classifier:
    """:func:`linear` with an auxiliary head, called as in slim's networks."""
    classifier = linear()
    classifier.network = TwoHeaded(classifier.network)
    return classifier


def blind() -> Classifier:
    """Ten classes, of which every image is the last; its gradient is zero everywhere."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(network[2].bias[9:])
    return Classifier(network, input_size=32)


def paced() -> Classifier:
    """:func:`linear` that takes its time, and fails where the environment asks for it."""
    classifier = linear()
    classifier.register_forward_pre_hook(_pace)
    return classifier


def trainable() -> Classifier:
    """A paced network with what a resumed training must restore: batch normalization and dropout."""
    classifier = paced()
    convolution, *others = classifier.network.children()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier.network = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.Dropout(0.2), *others)
    return classifier


def _with_background(class_offset: int) -> Classifier:
    *layers, head = linear().network.children()
    wider = nn.Linear(128, 11)
    with torch.no_grad():
        wider.weight.copy_(torch.cat([head.weight[:1] * 0, head.weight]))
        wider.bias.copy_(torch.cat([head.bias[:1] * 0 - 100, head.bias]))
    network = nn.Sequential(*layers, wider)
    return Classifier(network, mean=[0.5] * 3, std=[0.25] * 3, input_size=32, class_offset=class_offset)


def _pace(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    time.sleep(float(os.environ.get("TEST_SECONDS_A_PASS", "0")))
    if os.environ.get("TEST_CRASHING_RANK") == os.environ.get("LOCAL_RANK", "0"):
        raise RuntimeError("the accelerator caught fire")


def _build(seed: int) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Softplus(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return Classifier(network, mean=[0.5] * 3, std=[0.25] * 3, input_size=32)
