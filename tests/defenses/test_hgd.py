"""The denoiser against its description, and its weights' forms."""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from lit_adv.defenses import HGD, Denoiser, ScoreSum

# (channels in, channels out) of every 3x3 convolution, in the order of the description.
DOWN = [
    [(3, 64), (64, 64)],
    [(64, 128), (128, 128), (128, 128)],
    [(128, 256), (256, 256), (256, 256)],
    [(256, 256), (256, 256), (256, 256)],
    [(256, 256), (256, 256), (256, 256)],
]
UP = [  # fine to coarse; the first of a level sees what comes from below and its neighbor on the way down
    [(128 + 64, 64), (64, 64)],
    [(256 + 128, 128), (128, 128), (128, 128)],
    [(256 + 256, 256), (256, 256), (256, 256)],
    [(256 + 256, 256), (256, 256), (256, 256)],
]


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    """A denoiser with random weights and batch statistics."""
    torch.manual_seed(0)
    denoiser = Denoiser().eval()
    for module in denoiser.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return denoiser


def upsample(maps: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Resize [..., H, W] linearly with the corners aligned."""
    for axis, size in ((-2, height), (-1, width)):
        old = np.arange(maps.shape[axis])
        new = np.linspace(0, old[-1], size)
        maps = np.apply_along_axis(lambda line, new=new, old=old: np.interp(new, old, line), axis, maps)
    return maps


def described(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network written out over its state dict, for normalized images."""

    def group(name: str, x: Tensor, units: int, stride: int) -> Tensor:
        for unit in range(units):
            conv, bn = f"{name}.{unit}.conv", f"{name}.{unit}.bn"
            x = F.conv2d(x, state[f"{conv}.weight"], stride=stride if unit == 0 else 1, padding=1)
            statistics = (state[f"{bn}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var"))
            scale, shift = (state[f"{bn}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
            mean, variance = statistics
            x = ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp(min=0)
        return x

    levels = [group("fwd.0", x, 2, 1)]
    for level in range(1, 5):
        levels.append(group(f"fwd.{level}", levels[-1], 3, 2))
    out = levels[4]
    for level in (3, 2, 1, 0):
        height, width = levels[level].shape[-2:]
        up = torch.from_numpy(upsample(out.numpy(), height, width))
        out = group(f"back.{level}", torch.cat([up, levels[level]], 1), 2 if level == 0 else 3, 1)
    return x + F.conv2d(out, state["final.weight"])


def test_it_computes_what_is_described(denoiser: Denoiser) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network = Denoiser(mean, std).double().eval()
    network.load_state_dict(denoiser.state_dict())
    images = torch.rand(2, 3, 37, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        denoised = network(images)
        shift, scale = (torch.tensor(part).double().view(1, 3, 1, 1) for part in (mean, std))
        expected = described(network.state_dict(), (images - shift) / scale) * scale + shift
    torch.testing.assert_close(denoised, expected, rtol=0, atol=1e-6)


def test_it_has_the_described_convolutions_and_parameters(denoiser: Denoiser) -> None:
    for groups, described_groups in ((denoiser.fwd, DOWN), (denoiser.back, UP)):
        found = [
            [(m.in_channels, m.out_channels) for m in group.modules() if isinstance(m, nn.Conv2d)] for group in groups
        ]
        assert found == described_groups
    convolutions = [pair for group in DOWN + UP for pair in group]
    expected = sum(9 * i * o + 2 * o for i, o in convolutions) + 64 * 3
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == expected


def test_299_pixels_become_150_75_38_and_19() -> None:
    with torch.device("meta"):
        network = Denoiser()
        sizes: list[int] = []
        for group in network.fwd:
            group.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
        assert network(torch.rand(1, 3, 299, 299)).shape == (1, 3, 299, 299)
    assert sizes == [299, 150, 75, 38, 19]


def test_aligned_corners_are_the_default_and_matter(denoiser: Denoiser) -> None:
    today = Denoiser(align_corners=False).eval()
    today.load_state_dict(denoiser.state_dict())
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert not torch.allclose(today(images), denoiser(images), atol=1e-4)


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_weights_are_read_from(form: str, denoiser: Denoiser, images: Tensor, keys: list[str], tmp_path: Path) -> None:
    path = tmp_path / f"denoiser.{'safetensors' if form == 'safetensors' else 'ckpt'}"
    (save_file if form == "safetensors" else torch.save)(denoiser.state_dict(), path)
    defense = HGD(nn.Flatten(), path).eval()
    with torch.no_grad():
        assert torch.equal(defense(images, keys), denoiser(images).flatten(1))


@pytest.mark.parametrize("prefix", ["net.denoise.", "net.denoise.0."], ids=["Inception", "ResNet"])
def test_the_published_files_are_read_as_they_are(
    prefix: str, denoiser: Denoiser, images: Tensor, keys: list[str], tmp_path: Path
) -> None:
    """They hold the classifier, too, and the script's arguments; torch did not count batches yet."""
    own = {name: value for name, value in denoiser.state_dict().items() if "num_batches" not in name}
    state = OrderedDict([("net.conv2d_1a.conv.weight", torch.zeros(32, 3, 3, 3))])
    state |= {f"{prefix}{name}": value for name, value in own.items()}
    kept = {"epoch": 14, "save_dir": "results/014", "state_dict": state, "args": Namespace(lr=0.01, exp="sample")}
    torch.save(kept, tmp_path / "denoise_014.ckpt", _use_new_zipfile_serialization=False)
    defense = HGD(nn.Flatten(), tmp_path / "denoise_014.ckpt").eval()
    with torch.no_grad():
        assert torch.equal(defense(images, keys), denoiser(images).flatten(1))


def test_four_classifiers_behind_denoisers_add_their_logits(
    denoiser: Denoiser, images: Tensor, keys: list[str], classifier: nn.Module, tmp_path: Path
) -> None:
    torch.save(denoiser.state_dict(), tmp_path / "denoiser.pt")
    defenses = [HGD(classifier, tmp_path / "denoiser.pt", std=(std,) * 3).eval() for std in (0.25, 0.5)]
    with torch.no_grad():
        expected = defenses[0](images, keys) + defenses[1](images, keys)
        torch.testing.assert_close(ScoreSum(defenses)(images, keys), expected)


def test_missing_weights_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"github\.com/lfz/Guided-Denoise"):
        HGD(nn.Identity())
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt does not exist.*github"):
        HGD(nn.Identity(), tmp_path / "nowhere.ckpt")


def test_files_without_a_denoiser_are_refused_by_name(denoiser: Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(ValueError, match=r"other\.pt does not hold a denoiser"):
        HGD(nn.Identity(), path)
    torch.save({k: v for k, v in denoiser.state_dict().items() if k != "back.0.0.conv.weight"}, path)
    with pytest.raises(ValueError, match=r"(?s)other\.pt.*back\.0\.0\.conv\.weight"):
        HGD(nn.Identity(), path)
    torch.save(nn.Linear(2, 2), path)  # a pickled object
    with pytest.raises(ValueError, match=r"other\.pt does not hold a denoiser"):
        HGD(nn.Identity(), path)
    garbage = tmp_path / "other.safetensors"
    garbage.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors does not hold a denoiser"):
        HGD(nn.Identity(), garbage)
