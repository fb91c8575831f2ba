"""What pools, background class and auxiliary head of slim's Inception-v3 change: ``python scripts/slim_options.py``.

Takes random weights, or the checkpoint that is named behind, and one random image. Prints, in float64, the largest
difference relative to the largest value, and the share of signs of the loss's gradient to the image that differ.
"""

import argparse
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from lit_adv.models import Classifier, load_model
from tests.models.slim.golden import image, variables
from tests.tf_checkpoint.write import write_v1

LABEL = torch.tensor([0])
IMAGE = torch.from_numpy(image())


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", help="a checkpoint of Inception-v3; random weights by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.file is None:
            options.file = f"{folder}/random.ckpt"
            write_v1(Path(options.file), variables("inception_v3"))
        model = load_model(f"slim:inception_v3@{options.file}?aux=0").double()
    with torch.no_grad():
        outputs = model(IMAGE, heads=True)[0]
        print(f"probability of the background class: {float(outputs.softmax(1)[0, 0]):.1e}")
        padded = pools_with_padding(model)
        logits = model(IMAGE), padded(IMAGE)
    plain = gradient(model)
    print(f"pools that count the padding: logits {apart(*logits)}, gradient {apart(plain, gradient(padded))}")
    model.background = True
    print(f"background=1: gradient {apart(plain, gradient(model))}")
    model.background, model.aux_weight = False, 0.4
    print(f"aux=0.4: gradient {apart(plain, gradient(model))}")


def pools_with_padding(model: Classifier) -> Classifier:
    """Return a copy whose average pools are timm's own."""
    copy = deepcopy(model)
    for module in copy.network.modules():
        module._forward_pre_hooks.clear()
    return copy


def gradient(model: Classifier) -> Tensor:
    """Return the gradient of the model's loss to the image."""
    leaf = IMAGE.clone().requires_grad_()
    return torch.autograd.grad(model.attack_loss(leaf, LABEL).sum(), leaf)[0]


def apart(one: Tensor, other: Tensor) -> str:
    """Say how far two tensors are apart."""
    signs = (one.sign() != other.sign()).double().mean()
    return f"{float((one - other).abs().max() / one.abs().max()):.1e} apart, {100 * float(signs):.1f} % of signs"


if __name__ == "__main__":
    main()
