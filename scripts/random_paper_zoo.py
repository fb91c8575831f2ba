"""Make files of random weights under the names that the zoo ``paper`` looks for, to try it without the originals.

With random weights no image is classified correctly, so take all of them:

    python scripts/random_paper_zoo.py WEIGHTS
    lit-adv paper all --zoo paper --weights WEIGHTS --data SHARDS --output DIR --selection all --images 4
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from lit_adv.defenses.comdefend import DECODER_FILE, ENCODER_FILE
from lit_adv.defenses.hgd import Denoiser
from tests.models.slim.golden import npy_layers, variables
from tests.tf_checkpoint.write import write_npy, write_v1, write_v2

#: Of each kind of file, some: those of 2016 are TensorFlow's first version, the adversarially trained ones its second.
V1 = {"inception_v3": "inception_v3.ckpt", "inception_v4": "inception_v4.ckpt", "resnet_v2_101": "resnet_v2_101.ckpt"}
V2 = {
    "ens3_adv_inception_v3.ckpt": "inception_v3",
    "ens_adv_inception_resnet_v2.ckpt": "inception_resnet_v2",
    "adv_inception_v3.ckpt": "inception_v3",
}
NPY = {"tf2torch_inc_res_v2.npy": "inception_resnet_v2", "tf2torch_ens4_adv_inc_v3.npy": "inception_v3"}
TIMM = ("vgg16.tv_in1k", "resnet152.tv_in1k", "resnext101_64x4d.tv_in1k")
DENOISERS = ("incepv3_012", "inres_014", "res_015", "rex_001")
ENCODER = (3, 16, 32, 64, 128, 256, 128, 64, 32, 12)
DECODER = (12, 32, 64, 128, 256, 128, 64, 32, 16, 3)


def make(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for network, name in V1.items():
        write_v1(folder / name, variables(network))
    for name, network in V2.items():
        write_v2(folder / name, variables(network))
    for name, network in NPY.items():
        write_npy(folder / name, npy_layers(variables(network), scale=False))
    torch.manual_seed(0)
    for name in TIMM:
        save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    for name in DENOISERS:
        torch.save({"state_dict": Denoiser().state_dict()}, folder / f"denoise_{name}.ckpt")
    smoothing = folder / "imagenet/resnet50/noise_0.25"
    smoothing.mkdir(parents=True, exist_ok=True)
    state = {f"1.module.{name}": tensor for name, tensor in timm.create_model("resnet50").state_dict().items()}
    torch.save({"arch": "resnet50", "epoch": 90, "state_dict": state}, smoothing / "checkpoint.pth.tar")
    (folder / "comdefend").mkdir(exist_ok=True)
    for name, widths in ((ENCODER_FILE, ENCODER), (DECODER_FILE, DECODER)):
        write_array_list(folder / "comdefend" / name, widths)


def write_array_list(file: Path, widths: tuple[int, ...]) -> None:
    """Write kernels and biases as ComDefend's authors do."""
    random = np.random.default_rng(0)
    arrays = np.empty(2 * (len(widths) - 1), dtype=object)
    for number, (before, after) in enumerate(pairwise(widths)):
        arrays[2 * number] = 0.1 * random.standard_normal((3, 3, before, after), dtype=np.float32)
        arrays[2 * number + 1] = np.zeros(after, dtype=np.float32)
    with file.open("wb") as opened:
        np.savez(opened, arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make random weights for the zoo paper.")
    parser.add_argument("folder", type=Path, help="folder for the files (2 GB)")
    make(parser.parse_args().folder)
