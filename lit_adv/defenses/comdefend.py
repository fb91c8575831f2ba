"""ComDefend (Jia et al., CVPR 2019): a learned compression to 12 bits a pixel and back.

An encoder turns each 32 x 32 patch of an image into 12 maps, Gaussian noise is subtracted, the sign of the result
is the code, and a decoder rebuilds the patch from it. As in the authors' code for ImageNet
(``compression_imagenet.py``): the networks see blue, green, red in [0, 1], the encoder subtracts 0.5, the noise has
standard deviation 1 at test time, patches are processed apart (so their borders are zero-padded), and the output is
truncated to 8 bits.

That order of the channels is what OpenCV reads, but the networks were trained on red, green, blue (Keras's
CIFAR-10). Hence strong reds and greens shift towards yellow. ``channels="rgb"`` gives the networks what they were
trained on, which rebuilds real images better (29.4 against 27.9 dB on 16 of them, by ``scripts/comdefend_psnr.py``).

Deliberately different: each image's noise is drawn from its key, and an image whose sides 32 does not divide is
padded by repeating its edge and cropped back, where the authors take 224 x 224 images only.

The weights are the authors' ``enc20_0.0001.npy`` and ``dec20_0.0001.npy``; the project does not distribute them.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.defenses.base import Purifier
from lit_adv.defenses.npy_weights import load_array_list
from lit_adv.randomness import keyed_normal

ENCODER_FILE = "enc20_0.0001.npy"
DECODER_FILE = "dec20_0.0001.npy"
_ENCODER_WIDTHS = (3, 16, 32, 64, 128, 256, 128, 64, 32, 12)
_DECODER_WIDTHS = (12, 32, 64, 128, 256, 128, 64, 32, 16, 3)
_PATCH = 32
ChannelOrder = Literal["bgr", "rgb"]
_SOURCE = (
    f"ComDefend needs the folder that holds its authors' {ENCODER_FILE} and {DECODER_FILE}: get them from "
    "https://github.com/jiaxiaojunQAQ/Comdefend, folder checkpoints, and pass the folder as 'weights'"
)


class ComDefend(Purifier):
    """ComDefend before a classifier.

    Args:
        model: The classifier to defend.
        weights: Folder with the authors' two files.
        channels: The order in which the networks see the channels: the authors' or that of their training.
        seed: Seed of the noise.

    Raises:
        FileNotFoundError: If no weights are given or a file is missing; the message says where to get them.
        ValueError: If a file does not hold the network's weights, or ``channels`` is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: str | Path | None = None,
        channels: ChannelOrder = "bgr",
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        if channels not in get_args(ChannelOrder):
            raise ValueError(f"channels must be one of {', '.join(get_args(ChannelOrder))}, not {channels!r}")
        if weights is None:
            raise FileNotFoundError(_SOURCE)
        self.encoder = _convolutions(_ENCODER_WIDTHS)
        self.decoder = _convolutions(_DECODER_WIDTHS)
        _load(self.encoder, Path(weights) / ENCODER_FILE)
        _load(self.decoder, Path(weights) / DECODER_FILE)
        self.channels = channels
        self.seed = seed

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Compress and rebuild; see :meth:`Purifier.purify`. The result holds multiples of 1/255."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % _PATCH, 0, -height % _PATCH), mode="replicate")
        noise = keyed_normal(self.seed, "ComDefend", keys, _ENCODER_WIDTHS[-1], *padded.shape[-2:])
        # Image by image: it bounds the memory, and the last bits of a convolution, which may decide a bit of the
        # code, depend on the size of its batch.
        rebuilt = [self._rebuild(*pair) for pair in zip(padded, noise.to(images.device), strict=True)]
        return torch.stack(rebuilt)[..., :height, :width]

    def _rebuild(self, image: Tensor, noise: Tensor) -> Tensor:
        """Compress and rebuild one image [3, H, W]."""
        swap = self.channels == "bgr"
        code: Tensor = self.encoder(_to_patches(image.flip(0) if swap else image) - 0.5)
        # sigmoid(code - noise) > 0.5 in the authors' terms.
        bits = (code - _to_patches(noise) > 0).to(code.dtype)
        # In float32, since reduced precision cannot tell 255 levels apart.
        patches: Tensor = self.decoder(bits).float().sigmoid()
        rebuilt = _from_patches((patches * 255).floor(), image.shape).div(255)
        return rebuilt.flip(0) if swap else rebuilt


class _ELU(nn.Module):
    """ELU with exp(x) - 1 in float32 on a CPU, where torch's expm1 takes as long as the convolutions.

    What is lost near 0, about 1e-7, is far below a grey level.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.elu(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return torch.maximum(wide, wide.clamp(max=0).exp() - 1).to(x.dtype)


def _convolutions(widths: Sequence[int]) -> nn.Sequential:
    """Stack 3x3 convolutions, with an ELU after each but the last."""
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise(widths):
        layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), _ELU()]
    return nn.Sequential(*layers[:-1])


def _load(network: nn.Sequential, path: Path) -> None:
    """Fill a network from the authors' list of kernels [H, W, in, out] and biases."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. {_SOURCE}")
    arrays = load_array_list(path)
    parameters = list(network.parameters())
    tensors = [torch.from_numpy(array) for array in arrays]
    tensors = [tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor for tensor in tensors]
    expected, found = ([tuple(tensor.shape) for tensor in side] for side in (parameters, tensors))
    if found != expected:
        raise ValueError(f"{path} is not ComDefend's: it has tensors of shapes {found}, not {expected}. {_SOURCE}")
    with torch.no_grad():
        for parameter, tensor in zip(parameters, tensors, strict=True):
            parameter.copy_(tensor)


def _to_patches(image: Tensor) -> Tensor:
    """Cut [C, H, W] into [H / 32 * W / 32, C, 32, 32], row by row."""
    channels, height, width = image.shape
    blocks = image.reshape(channels, height // _PATCH, _PATCH, width // _PATCH, _PATCH)
    return blocks.permute(1, 3, 0, 2, 4).flatten(0, 1)


def _from_patches(patches: Tensor, shape: Sequence[int]) -> Tensor:
    """Undo :func:`_to_patches` for an image of the given shape [C, H, W]."""
    channels, height, width = shape
    blocks = patches.reshape(height // _PATCH, width // _PATCH, channels, _PATCH, _PATCH)
    return blocks.permute(2, 0, 3, 1, 4).reshape(shape)
