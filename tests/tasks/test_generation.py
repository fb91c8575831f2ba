"""The predict step: from clean images to stored adversarial images."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from lit_adv.attacks import describe_attack, quantize
from lit_adv.checkpoints import to_safetensors
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.models import Classifier, classifier_metadata, load_model, to_float
from lit_adv.models.slim.networks import build_network
from lit_adv.shards.job import differences, digest
from lit_adv.tasks import GenerationTask
from tests import models_of_tests

SPEC = "import:tests.models_of_tests:linear"
OTHER = "import:tests.models_of_tests:other_linear"


class Batches(LightningDataModule):
    """Ready batches; the first one's size is that of all but a shard's last."""

    def __init__(self, batches: list[ImageBatch]) -> None:
        super().__init__()
        self.batches = batches
        self.batch_size = len(batches[0])

    def predict_dataloader(self) -> DataLoader[ImageBatch]:
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]  # a list is a data set to torch


def make_batch(count: int = 6, targets: bool = False, highest_label: int = 9) -> ImageBatch:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 10, (count,), generator=generator).clamp(max=highest_label)
    return ImageBatch(
        images=torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=labels,
        keys=[f"sample-{i}" for i in range(count)],
        shard="folder/shard.tar",
        shard_samples=count,
        last=True,
        targets=(labels + 1) % 10 if targets else None,
    )


@pytest.mark.parametrize("attack", ["fgsm", "si_ni_ti_dim"])
def test_what_is_said_about_a_stored_image_is_true_of_it(attack: str) -> None:
    batch, model = make_batch(), load_model(SPEC)
    made = GenerationTask(SPEC, attack, {"eps": "9/255"}).predict_step(batch)
    change = made.images.int() - batch.images.int()
    assert change.abs().amax() == 9
    with torch.no_grad():
        before, after = (model(images / 255).argmax(1) for images in (batch.images, made.images))
    assert torch.equal(made.predictions_clean, before)
    assert torch.equal(made.predictions, after)
    assert torch.equal(made.fooled, after != batch.labels)
    assert made.targets is None


def test_in_targeted_mode_fooled_means_that_the_target_is_reached() -> None:
    batch = make_batch(targets=True)
    made = GenerationTask(SPEC, "mi_fgsm", {"eps": "64/255", "target": "given"}).predict_step(batch)
    assert made.targets is not None
    assert torch.equal(made.targets, batch.targets)
    assert torch.equal(made.fooled, made.predictions == batch.targets)
    assert made.fooled.any()


def test_given_targets_must_be_in_the_data() -> None:
    task = GenerationTask(SPEC, "mi_fgsm", {"target": "given"})
    with pytest.raises(ValueError, match=r"name the json field of the targets, data\.target_field"):
        task.predict_step(make_batch())


def test_a_label_that_the_surrogate_does_not_know_is_named() -> None:
    batch = make_batch()
    batch.labels[0] = 10
    with pytest.raises(ValueError, match=r"shard\.tar has label 10, but the surrogate tells 10 classes apart"):
        GenerationTask(SPEC, "fgsm").predict_step(batch)


def test_an_empty_batch_passes_through() -> None:
    batch = make_batch(0)
    made = GenerationTask(SPEC, "si_ni_ti_dim").predict_step(batch)
    assert made.images.shape == (0, 3, 32, 32)
    assert len(made) == 0


def test_an_ensemble_is_fooled_as_one() -> None:
    batch = make_batch()
    task = GenerationTask([SPEC, OTHER], "mi_fgsm", ensemble_weights=[2, 1])
    made = task.predict_step(batch)
    members = [load_model(spec, resize=True) for spec in (SPEC, OTHER)]
    with torch.no_grad():
        first, second = (member(made.images / 255) for member in members)
    assert torch.equal(made.predictions, (2 * first + second).argmax(1))
    assert list(task.fingerprint["surrogate"]) == [SPEC, OTHER]


def test_an_attack_without_a_linf_budget_has_no_budget_to_check() -> None:
    assert GenerationTask(SPEC, "cw", {"steps": 1}).budget is None
    assert GenerationTask(SPEC, "fgsm", {"eps": "3/255"}).budget == 3


def test_the_fingerprint_tells_weights_and_settings_apart() -> None:
    prints = [
        GenerationTask(SPEC, "fgsm").fingerprint,
        GenerationTask(OTHER, "fgsm").fingerprint,
        GenerationTask(SPEC, "mi_fgsm").fingerprint,
        GenerationTask(SPEC, "fgsm", {"eps": "8/255"}).fingerprint,
    ]
    assert all(a != b for i, a in enumerate(prints) for b in prints[i + 1 :])
    assert prints[0] == GenerationTask(SPEC, "fgsm").fingerprint
    assert len(prints[0]["surrogate"][SPEC]) == 64


@pytest.mark.parametrize(
    "change", [{"mean": [0.4] * 3}, {"std": [0.2] * 3}, {"bgr": True}, {"class_offset": 1}, {"resize": True}]
)
def test_the_fingerprint_tells_what_a_user_s_own_surrogate_expects_of_an_image(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = GenerationTask(SPEC, "fgsm").fingerprint
    network = models_of_tests.linear().network
    mended = Classifier(network, **{"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": 32, **change})
    monkeypatch.setattr(models_of_tests, "linear", lambda: mended)
    after = GenerationTask(SPEC, "fgsm").fingerprint
    assert after["surrogate"] == before["surrogate"]
    [difference] = differences(json.loads(json.dumps(before)), json.loads(json.dumps(after)))
    assert next(iter(change)) in difference


def test_the_fingerprint_of_a_surrogate_that_its_name_says_all_of_is_what_it_was(tmp_path: Path) -> None:
    network = timm.create_model("mobilenetv3_small_050", num_classes=10)
    (tmp_path / "w.safetensors").write_bytes(to_safetensors(network, {}))
    task = GenerationTask(f"timm:mobilenetv3_small_050@{tmp_path}/w.safetensors", "fgsm")
    assert [*task.fingerprint] == [
        "surrogate", "ensemble_weights", "fusion", "compile", "attack", "attack_options"
    ]  # fmt: skip


def test_the_fingerprint_tells_what_a_file_says_of_its_surrogate(tmp_path: Path) -> None:
    network, file = timm.create_model("mobilenetv3_small_050", num_classes=10), tmp_path / "w.safetensors"
    prints = []
    for mean in (0.1, 0.2):
        saved = Classifier(network, mean=[mean] * 3)
        file.write_bytes(to_safetensors(network, classifier_metadata(saved)))
        prints.append(GenerationTask(f"timm:mobilenetv3_small_050@{file}", "fgsm").fingerprint)
    assert prints[0]["surrogate"] == prints[1]["surrogate"]
    assert digest(prints[0]) != digest(prints[1])


def test_the_fingerprint_tells_the_order_of_members() -> None:
    prints = [
        GenerationTask(specs, "fgsm", ensemble_weights=[0.7, 0.3]).fingerprint
        for specs in ([SPEC, OTHER], [OTHER, SPEC])
    ]
    assert digest(prints[0]) != digest(prints[1])


def test_a_member_named_twice_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"names 'import:.*:linear' 2 times: .*with model\.ensemble_weights"):
        GenerationTask([SPEC, OTHER, SPEC], "fgsm")


def test_the_fingerprint_tells_auxiliary_heads_that_an_attack_pushes(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = build_network("inception_v3", 5, auxiliary=True)
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in network.state_dict().items()}
    prints: dict[str, list[str]] = {"?aux=0": [], "?aux=0.4": []}
    for value in (0.0, 1.0):
        save_file(state | {"AuxLogits.fc.bias": torch.full((5,), value)}, tmp_path / "w.safetensors")
        for option, digests in prints.items():
            spec = f"slim:inception_v3@{tmp_path}/w.safetensors{option}"
            digests.append(digest(GenerationTask(spec, "fgsm").fingerprint))
    assert [len(set(digests)) for digests in prints.values()] == [1, 2]


def test_the_default_budget_of_another_library_is_recorded() -> None:
    torchattacks = pytest.importorskip("torchattacks")
    task = GenerationTask(SPEC, "torchattacks.PGD")
    assert task.fingerprint["attack_options"]["eps"] == torchattacks.PGD(load_model(SPEC)).eps == 8 / 255
    assert task.budget == 8


def test_an_option_of_another_attack_is_refused_before_any_weights_are_loaded() -> None:
    with pytest.raises(ValueError, match="attack 'fgsm' has no option 'confidence'"):
        GenerationTask("import:no_such_module:build", "fgsm", {"confidence": 1.0})


def test_batches_for_a_compiled_surrogate_are_filled_up_to_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)  # it is the sizes that matter here
    full, rest = make_batch(6), make_batch(4)
    task, plain = (GenerationTask(SPEC, "si_ni_ti_dim", {"steps": 2}, compile=value) for value in (True, False))
    sizes: set[int] = set()
    task.surrogate.register_forward_pre_hook(lambda _, inputs: sizes.add(len(inputs[0])))
    made: list[AdversarialBatch] = []
    collect = LambdaCallback(on_predict_batch_end=lambda trainer, module, outputs, *_: made.append(outputs))
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "inference_mode": False}
    trainer = Trainer(accelerator="cpu", callbacks=[collect], **options)
    trainer.predict(task, Batches([full, rest]), return_predictions=False)
    assert sizes == {6}
    for found, batch in zip(made, (full, rest), strict=True):
        expected = plain.predict_step(batch)
        for name in ("images", "predictions_clean", "predictions", "fooled"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_admix_says_once_that_a_batch_has_one_class(caplog: pytest.LogCaptureFixture) -> None:
    mixed, alone, single = make_batch(4), make_batch(4), make_batch(1)
    alone.labels[:] = 3
    task = GenerationTask(SPEC, "admix", {"steps": 1})
    for batch in (mixed, single):
        task.predict_step(batch)
    GenerationTask(SPEC, "si_fgsm", {"steps": 1}).predict_step(alone)
    assert not caplog.messages
    for _ in range(2):
        task.predict_step(alone)
    (message,) = caplog.messages
    assert "folder/shard.tar has a batch of one class alone" in message
    assert "raise data.batch_size" in message


def test_views_of_null_take_a_named_attack_s_views_back() -> None:
    batch, options = make_batch(), {"steps": 1, "views": None}
    assert describe_attack("admix", **options)["views"] is None
    made = GenerationTask(SPEC, "admix", options).predict_step(batch)
    assert torch.equal(made.images, GenerationTask(SPEC, "mi_fgsm", {"steps": 1}).predict_step(batch).images)


def test_admix_is_told_the_true_classes_where_targets_are_given() -> None:
    """Not the wanted ones, here all the same; the surrogate's predictions, which a direct call takes, differ."""
    batch = make_batch(targets=True)
    assert batch.targets is not None
    batch.targets[:] = 5
    task = GenerationTask(SPEC, "admix", {"steps": 2, "target": "given"})
    made = task.predict_step(batch)
    clean = to_float(batch.images)
    told, untold = (task.attack(clean, batch.targets, batch.keys, true) for true in (batch.labels, None))
    assert torch.equal(made.images, quantize(told, batch.images, task.budget))
    assert not torch.equal(made.images, quantize(untold, batch.images, task.budget))


def test_a_surrogate_with_another_number_of_classes_than_the_data_is_refused_by_name() -> None:
    GenerationTask(SPEC, "fgsm").check_data(32, 10)
    with pytest.raises(ValueError, match=r"surrogate 'import:.*:linear' tells 10 classes apart, .* \[0, 1000\)"):
        GenerationTask(SPEC, "fgsm").check_data(32, 1000)
    with pytest.raises(ValueError, match=r"surrogate '.*:background' tells 11 classes apart.*class_offset=1"):
        GenerationTask("import:tests.models_of_tests:background", "fgsm").check_data(32, 10)


def test_a_surrogate_that_maps_its_outputs_to_the_labels_is_taken_and_random_targets_are_labels() -> None:
    task = GenerationTask("import:tests.models_of_tests:without_background", "mi_fgsm", {"target": "random"})
    task.check_data(32, 10)
    batch = make_batch(200)
    made = task.predict_step(batch)
    assert made.targets is not None
    assert set(made.targets.tolist()) == set(range(10))
    assert (made.targets != batch.labels).all()
    assert torch.equal(made.predictions_clean, GenerationTask(SPEC, "fgsm").predict_step(batch).predictions_clean)


def test_an_ensemble_with_a_background_class_in_one_member_is_refused_by_the_members_name() -> None:
    task = GenerationTask([SPEC, "import:tests.models_of_tests:background"], "fgsm")
    with pytest.raises(ValueError, match=r"surrogate 'import:.*:background' tells 11 classes apart"):
        task.check_data(32, 10)


def test_an_image_that_is_not_finite_is_stored_clean_and_named() -> None:
    batch = make_batch()
    made = GenerationTask(SPEC, "tests.attacks.attacks_of_tests.Broken").predict_step(batch)
    assert made.not_finite == ["sample-0"]
    assert torch.equal(made.images[:2], batch.images[:2])
    assert (made.images[2:] == 255).all()  # clipped, not wrapped around
    assert made.predictions[0] == made.predictions_clean[0]
    assert bool(made.fooled[0]) == (made.predictions_clean[0] != batch.labels[0])


@pytest.mark.parametrize(("attack", "not_finite"), [("torchattacks.MIFGSM", False), ("torchattacks.DeepFool", True)])
def test_a_gradient_of_zero_that_others_divide_by_leaves_clean_images_never_garbage(
    attack: str, not_finite: bool
) -> None:
    pytest.importorskip("torchattacks")
    batch = make_batch()
    batch.labels.fill_(9)
    made = GenerationTask("import:tests.models_of_tests:blind", attack, {"steps": 2}).predict_step(batch)
    assert made.not_finite == (batch.keys if not_finite else [])
    assert torch.equal(made.images, batch.images)
    assert not made.fooled.any()


def test_an_attack_that_does_nothing_for_negative_outputs_returns_the_clean_images() -> None:
    pytest.importorskip("torchattacks")
    batch = make_batch()
    task = GenerationTask([SPEC, OTHER], "torchattacks.CW", {"steps": 5}, fusion="loss")  # logarithms of probabilities
    batch.labels.copy_(task.predict_step(batch).predictions_clean)
    made = task.predict_step(batch)
    assert torch.equal(made.images, batch.images)
    assert not made.fooled.any()
    assert made.not_finite == []


def test_an_l2_attack_of_another_library_has_no_budget_of_grey_levels() -> None:
    pytest.importorskip("torchattacks")
    task = GenerationTask(SPEC, "torchattacks.PGDL2", {"eps": 3.0, "steps": 2})
    made = task.predict_step(make_batch())
    assert task.budget is None
    assert made.images.shape == (6, 3, 32, 32)
