"""Specs of slim's networks, and files that ``lit-adv convert`` makes of their checkpoints."""

import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lit_adv.checkpoints import read_metadata
from lit_adv.cli.main import main, run
from lit_adv.errors import MendableError
from lit_adv.models import Classifier, input_record, load_model, weights_sha256
from lit_adv.models.slim.networks import AuxiliaryHead, SlimInceptionV3, build_network
from lit_adv.models.spec import ModelSpec
from tests.models.slim.golden import variables
from tests.tf_checkpoint.write import write_v1, write_v2

#: Where every pool of Inception-v3 has a border; 75 pixels are the least that it takes.
IMAGES = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    """A checkpoint of Inception-v3 with a background class and four more, under a scope of its own."""
    tensors = {f"Ens3Adv{name}": array for name, array in variables("inception_v3").items()}
    few = {name: array[..., :5] if array.shape[-1] == 1001 else array for name, array in tensors.items()}
    write_v1(folder / "ens3.ckpt", few)
    return folder / "ens3.ckpt"


@pytest.fixture(scope="module")
def converted(checkpoint: Path, folder: Path) -> Path:
    assert run(["convert", str(checkpoint), str(folder / "new/ens3.safetensors")]) == 0
    return folder / "new/ens3.safetensors"


def logits(model: Classifier) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(IMAGES)
    return result


def test_a_converted_file_gives_identical_logits_under_both_names(checkpoint: Path, converted: Path) -> None:
    model = load_model(f"slim:inception_v3@{checkpoint}")
    assert logits(model).shape == (2, 5)  # a data set of one's own has no background class
    for spec in (f"slim:inception_v3@{converted}", f"timm:inception_v3@{converted}"):
        loaded = load_model(spec)
        assert torch.equal(logits(loaded), logits(model))
        assert loaded.settings == model.settings
        assert weights_sha256(loaded) == weights_sha256(model)


def test_a_converted_file_says_all_of_itself(checkpoint: Path, converted: Path) -> None:
    metadata = read_metadata(converted)
    assert metadata["lit_adv.network"] == "inception_v3"
    assert json.loads(metadata["lit_adv.source"]) == {"ens3.ckpt": sha256(checkpoint.read_bytes()).hexdigest()}
    assert json.loads(metadata["lit_adv.classifier"]) == {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "input_size": 299,
        "crop_ratio": 0.875,
        "class_offset": 0,
        "resize": False,
        "bgr": False,
        "exclude_padding": True,
    }


def test_the_auxiliary_head_is_converted_and_kept_on_request(checkpoint: Path, converted: Path) -> None:
    models = [load_model(f"slim:inception_v3@{file}?aux=0.4&size=299") for file in (checkpoint, converted)]
    with torch.no_grad():
        first, second = (model.head_logits(IMAGES) for model in models)
    assert len(first) == len(second) == 2
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert models[0].aux_weight == 0.4
    trained = {name for name, parameter in models[0].network.named_parameters() if parameter.requires_grad}
    assert trained == dict(load_model(f"slim:inception_v3@{checkpoint}").network.named_parameters()).keys()
    # It has no part in what the model answers: the attacked network is the network that is defended.
    assert weights_sha256(models[0]) == weights_sha256(load_model(f"slim:inception_v3@{checkpoint}"))


@pytest.mark.parametrize(
    ("name", "network"), [("slim:inception_v4", "inception_v4"), ("timm:resnet50", "resnet50")], ids=["slim", "timm"]
)
def test_a_converted_file_of_another_network_is_refused(name: str, network: str, converted: Path) -> None:
    with pytest.raises(ValueError, match=rf"holds inception_v3, not {network}: name it slim:inception_v3@FILE"):
        load_model(f"{name}@{converted}")


def test_nothing_is_overwritten(checkpoint: Path, converted: Path) -> None:
    before = converted.read_bytes()
    with pytest.raises(MendableError, match=r"ens3\.safetensors is there already: name another file, or remove it"):
        run(["convert", str(checkpoint), str(converted)])
    assert converted.read_bytes() == before


def test_what_cannot_be_converted_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MendableError, match=r"out must end in \.safetensors"):
        run(["convert", str(checkpoint), str(tmp_path / "out")])
    with pytest.raises(ValueError, match=r"w\.pth needs no conversion: load it as timm:NAME@"):
        run(["convert", str(tmp_path / "w.pth"), str(tmp_path / "out.safetensors")])
    with pytest.raises(ValueError, match="has no variable Logits/Logits/biases, which inception_v4 has: it is"):
        run(["convert", str(checkpoint), str(tmp_path / "out.safetensors"), "--as", "inception_v4"])
    write_v2(tmp_path / "other.ckpt", {"vgg_16/conv1/conv1_1/weights": np.zeros((3, 3, 3, 64), np.float32)})
    with pytest.raises(ValueError, match=r"other\.ckpt are of none of inception_v3, .*say which network.*--as"):
        run(["convert", str(tmp_path / "other.ckpt"), str(tmp_path / "out.safetensors")])
    with pytest.raises(SystemExit, match="no checkpoint at"):
        main(["convert", str(tmp_path / "nowhere"), str(tmp_path / "out.safetensors")])
    assert not (tmp_path / "out.safetensors").exists()


def test_what_the_network_expects_is_known_without_its_weights(tmp_path: Path) -> None:
    (tmp_path / "v2.ckpt.index").touch()
    (tmp_path / "v1.ckpt").touch()
    assert input_record(f"slim:resnet_v2_101@{tmp_path}/v1.ckpt") == (299, 0.875)
    assert input_record(f"slim:resnet_v2_101@{tmp_path}/v1.ckpt?size=224&background=1") == (224, 0.875)


def test_a_spec_has_options() -> None:
    spec = ModelSpec.parse("slim:inception_v3@a/b.ckpt?background=1&aux=0.4&size=299")
    assert spec == ModelSpec("slim", "inception_v3", "a/b.ckpt", 299, background=True, aux=0.4)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("slim:inception_v3", FileNotFoundError, "ens4_adv_inception_v3_2017_08_18, or fetch a .npy file of it from"),
        ("slim:resnet_v2_101@/no/file", FileNotFoundError, "For its weights, unpack TensorFlow's checkpoint from http"),
        ("slim:vgg_16@/no/file", ValueError, "slim's network 'vgg_16' is not known; known: inception_v3, inception_v4"),
        ("timm:inception_v3?aux=0.4", ValueError, "only networks of slim have auxiliary heads"),
        ("slim:inception_v3@f?aux=much", ValueError, "is not of the form"),
        ("slim:inception_v3@f?aux=-1", ValueError, "is not of the form"),
        ("slim:inception_v3@f?background=yes", ValueError, "background=1 and aux=WEIGHT"),
        ("import:tests.models_of_tests:linear?background=1", ValueError, "has no background class: leave out"),
    ],
)
def test_a_wrong_spec_is_named(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load_model(spec)


def test_a_file_without_an_auxiliary_head_is_refused_where_one_is_wanted(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = build_network("inception_v3", 5)
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    assert load_model(f"slim:inception_v3@{tmp_path}/w.safetensors").settings["exclude_padding"]
    with pytest.raises(ValueError, match=r"w\.safetensors holds no auxiliary head"):
        load_model(f"slim:inception_v3@{tmp_path}/w.safetensors?aux=0.4")
    with pytest.raises(ValueError, match="resnet_v2_101 has no auxiliary head"):
        build_network("resnet_v2_101", 5, auxiliary=True)


@pytest.mark.parametrize(("size", "fits"), [(16, False), (17, True), (19, True), (20, False)])
def test_an_auxiliary_head_takes_the_maps_that_its_weights_are_for(size: int, fits: bool) -> None:
    head, maps = AuxiliaryHead(8, 3).eval(), torch.rand(2, 8, size, size)
    if fits:
        assert head(maps).shape == (2, 3)
        return
    with pytest.raises(ValueError, match="takes images of 299 to 346 pixels a side"):
        head(maps)


@pytest.mark.parametrize("size", [298, 299, 346, 347])
def test_299_to_346_pixels_give_such_maps(size: int) -> None:
    with torch.device("meta"):
        network = SlimInceptionV3(5, auxiliary=True).eval()
        maps = network.forward_lower(torch.rand(1, 3, size, size))
    assert (17 <= maps.shape[-1] <= 19) == (299 <= size <= 346)


def test_inception_v3_averages_the_top_left_of_a_map_of_9_x_9() -> None:
    pool, maps = SlimInceptionV3(5, auxiliary=False).global_pool, torch.rand(1, 3, 9, 9)
    assert isinstance(pool, nn.Module)
    torch.testing.assert_close(pool(maps), maps[:, :, :8, :8].mean((2, 3)))
    torch.testing.assert_close(pool(maps[:, :, :5, :5]), maps[:, :, :5, :5].mean((2, 3)))
