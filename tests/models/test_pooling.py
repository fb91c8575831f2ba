"""Average pools that leave the padding out."""

from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from lit_adv.checkpoints import to_safetensors
from lit_adv.models import Classifier, Ensemble, classifier_metadata, input_record, load_model, optimize, weights_sha256
from lit_adv.models.pooling import exclude_padding
from tests.models.test_optimize import randomize_batch_norms

#: Where every pool has a border; 75 pixels are the least that the network takes.
IMAGES = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Weights of timm's Inception-v3 by their number of classes."""
    made = {}
    for classes in (10, 1001):
        torch.manual_seed(0)
        network = timm.create_model("inception_v3", num_classes=classes).eval()
        randomize_batch_norms(network)
        made[classes] = tmp_path_factory.mktemp("weights") / f"{classes}.safetensors"
        save_file(network.state_dict(), made[classes])
    return made


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(IMAGES)
    return result


@pytest.fixture(scope="module")
def expected(files: dict[int, Path]) -> Tensor:
    """What the network gives where torch's own pool leaves the padding out."""
    model, pool = load_model(f"timm:inception_v3@{files[10]}"), F.avg_pool2d

    def without_padding(*arguments: int | Tensor, **options: int) -> Tensor:
        return pool(*arguments, **options, count_include_pad=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "avg_pool2d", without_padding)
        return logits(model)


def differs(found: Tensor, other: Tensor) -> bool:
    return bool((found - other).abs().max() > 1e-3 * other.abs().max())


def equals(found: Tensor, other: Tensor) -> bool:
    return bool((found - other).abs().max() < 1e-5 * other.abs().max())


@pytest.mark.parametrize("tag", ["tf_in1k", "tf_adv_in1k"])
def test_weights_of_tensorflow_pool_as_tensorflow_does(tag: str, files: dict[int, Path], expected: Tensor) -> None:
    model = load_model(f"timm:inception_v3.{tag}@{files[10]}")
    assert model.settings["exclude_padding"]
    assert equals(logits(model), expected)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3.tv_in1k", "inception_v3.gluon_in1k"])
def test_weights_of_others_pool_as_they_were_trained(name: str, files: dict[int, Path], expected: Tensor) -> None:
    model = load_model(f"timm:{name}@{files[10]}")
    assert not model.settings["exclude_padding"]
    # gluon_in1k normalizes otherwise, so that its logits are others in any case.
    assert differs(logits(model), expected)


def test_a_file_with_a_background_class_is_of_tensorflow(files: dict[int, Path]) -> None:
    model = load_model(f"timm:inception_v3@{files[1001]}")
    assert model.settings["exclude_padding"]
    assert model.class_offset == 1


def test_the_hub_s_weights_are_corrected_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_the_hub(name: str, pretrained: bool, num_classes: int) -> nn.Module:
        assert pretrained
        return create(name, num_classes=num_classes)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", from_the_hub)
    assert load_model("timm:inception_v3.tf_in1k").settings["exclude_padding"]
    assert not load_model("timm:inception_v3.tv_in1k").settings["exclude_padding"]
    assert not load_model("timm:inception_v4.tf_in1k").settings["exclude_padding"]


def test_copies_ensembles_and_optimized_models_keep_it(files: dict[int, Path], expected: Tensor) -> None:
    model = load_model(f"timm:inception_v3.tf_in1k@{files[10]}")
    assert equals(logits(Ensemble([deepcopy(model), model])), expected)
    optimized = optimize(deepcopy(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in optimized.modules())
    assert equals(logits(optimized), expected)


def test_twice_is_once(files: dict[int, Path], expected: Tensor) -> None:
    model = load_model(f"timm:inception_v3.tf_in1k@{files[10]}")
    assert equals(logits(Classifier(model.network, **model.settings).eval()), expected)


def test_the_digest_of_the_same_weights_is_another(files: dict[int, Path]) -> None:
    digests = {weights_sha256(load_model(f"timm:inception_v3.{tag}@{files[10]}")) for tag in ("tf_in1k", "tv_in1k")}
    assert len(digests) == 2


def test_saved_weights_bring_it_along(files: dict[int, Path], expected: Tensor, tmp_path: Path) -> None:
    model, file = load_model(f"timm:inception_v3.tf_in1k@{files[10]}"), tmp_path / "saved.safetensors"
    file.write_bytes(to_safetensors(model.network, classifier_metadata(model)))
    assert equals(logits(load_model(f"timm:inception_v3@{file}")), expected)
    assert input_record(f"timm:inception_v3@{file}") == (299, 0.875)


def test_saved_weights_of_others_take_it_back(files: dict[int, Path], expected: Tensor, tmp_path: Path) -> None:
    model, file = load_model(f"timm:inception_v3.tv_in1k@{files[10]}"), tmp_path / "saved.safetensors"
    file.write_bytes(to_safetensors(model.network, classifier_metadata(model)))
    loaded = load_model(f"timm:inception_v3.tf_in1k@{file}")
    assert not loaded.settings["exclude_padding"]
    assert torch.equal(logits(loaded), logits(model))
    assert differs(logits(loaded), expected)


def test_other_networks_have_no_such_pools() -> None:
    with pytest.raises(ValueError, match="Linear has no average pools of timm's Inception-v3"):
        exclude_padding(nn.Linear(2, 2))
