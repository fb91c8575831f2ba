"""Attacks of other libraries plug in by class path."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.attacks.foreign import ForeignAttackError
from lit_adv.models import Classifier
from tests.attacks import attacks_of_tests


def test_torchattacks_pgd_runs_as_if_called_directly(lite0: Classifier, real_images: tuple[Tensor, Tensor]) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    images, labels = real_images[0][:2], real_images[1][:2]
    attack = create_attack("torchattacks.PGD", lite0, eps="8/255", alpha=2 / 255, steps=2, random_start=False)
    direct = torchattacks.PGD(lite0, eps=8 / 255, alpha=2 / 255, steps=2, random_start=False)
    with torch.no_grad():
        made = attack(images, labels, ["a", "b"])
    assert attack.eps == 8 / 255
    assert torch.equal(made, direct(images, labels))


def test_a_foolbox_attack_runs_within_its_budget(lite0: Classifier, real_images: tuple[Tensor, Tensor]) -> None:
    pytest.importorskip("foolbox")
    images, labels = real_images[0][:2], real_images[1][:2]
    attack = create_attack("foolbox.attacks.LinfPGD", lite0, eps="4/255", steps=3)
    made = attack(images, labels)
    assert 0 < (made - images).abs().max() <= 4 / 255 + 1e-6


def test_a_random_attack_gives_the_same_batch_the_same_images(
    lite0: Classifier, real_images: tuple[Tensor, Tensor]
) -> None:
    pytest.importorskip("torchattacks")
    images, labels = real_images[0][:2], real_images[1][:2]
    attack = create_attack("torchattacks.PGD", lite0, eps="8/255", steps=1)
    state = torch.random.get_rng_state()
    first, again = attack(images, labels, ["a", "b"]), attack(images, labels, ["a", "b"])
    assert torch.equal(first, again)
    assert not torch.equal(first, attack(images, labels, ["a", "c"]))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("no_such_package.PGD", {}, "cannot import the attack 'no_such_package.PGD'"),
        ("torchattacks.NoSuchAttack", {}, "cannot import the attack 'torchattacks.NoSuchAttack'"),
        ("torchattacks.PGD", {"stepz": 3}, "unexpected keyword argument 'stepz'"),
    ],
)
def test_a_wrong_path_or_argument_is_named(path: str, options: dict[str, int], message: str, lite0: Classifier) -> None:
    pytest.importorskip("torchattacks")
    with pytest.raises(ValueError, match=message):
        create_attack(path, lite0, **options)


OWN = "tests.attacks.attacks_of_tests"


@pytest.fixture
def small() -> nn.Module:
    """A small convolutional network of 10 classes, laid out as fast networks are, in a state of its own."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)
    )
    model.eval().to(memory_format=torch.channels_last)
    model[2].train()
    model[0].bias.requires_grad_(False)
    return model


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Six images as the task hands them over: in the channels_last layout."""
    images = torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    return images.to(memory_format=torch.channels_last), torch.arange(6)


def state(model: nn.Module) -> list[Any]:
    modules = [module.training for module in model.modules()]
    parameters = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    return [modules, parameters, [value.double().sum().item() for value in model.state_dict().values()]]


@pytest.mark.parametrize("autocast", [False, True])
def test_libraries_get_contiguous_float32_while_the_model_alone_is_in_autocast(
    autocast: bool, small: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    computed: list[torch.dtype] = []
    small[5].register_forward_hook(lambda module, inputs, output: computed.append(output.dtype))
    attack = create_attack(f"{OWN}.Step", small)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        made = attack(*batch)
    assert computed == [torch.bfloat16 if autocast else torch.float32]
    seen = attacks_of_tests.Step.seen
    assert seen["images"].is_contiguous()
    assert (seen["images"].dtype, seen["logits"].dtype, seen["gradient"].dtype) == (torch.float32,) * 3
    assert seen["matmul"] == torch.float32
    assert made.dtype == torch.float32


def test_the_model_is_in_eval_mode_and_frozen_meanwhile_and_as_it_was_afterwards(
    small: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    before = state(small)
    create_attack(f"{OWN}.Step", small)(*batch)
    assert not any(attacks_of_tests.Step.seen["modes"])
    assert not any(attacks_of_tests.Step.seen["wants_gradients"])
    assert state(small) == before
    with pytest.raises(ForeignAttackError, match=r"attack '.*Failing' failed: IndexError: list index out of range"):
        create_attack(f"{OWN}.Failing", small)(*batch)
    assert state(small) == before


def test_fractions_are_numbers_wherever_they_stand(small: nn.Module) -> None:
    attack = create_attack(f"{OWN}.Step", small, eps="8/255", alpha="2/255", range=["1/4", {"b": "1/2"}, "x/y"])
    assert attack.eps == 8 / 255
    assert attacks_of_tests.Step.seen == {"alpha": 2 / 255, "range": [0.25, {"b": 0.5}, "x/y"]}


def test_a_budget_in_another_norm_bounds_no_pixel(small: nn.Module) -> None:
    assert create_attack(f"{OWN}.Step", small, eps="1/2").eps == 0.5
    attack = create_attack(f"{OWN}.StepL2", small, eps=3)
    assert (attack.norm, attack.eps) == ("L2", None)
    with pytest.raises(ValueError, match=r"eps 3\.0 is not in \[0, 1\]"):
        create_attack(f"{OWN}.Step", small, eps=3)


@pytest.mark.parametrize(
    ("path", "options", "norm", "eps"),
    [
        ("torchattacks.PGDL2", {"eps": 2}, "L2", None),
        ("torchattacks.PGDRSL2", {}, "L2", None),
        ("torchattacks.APGD", {"norm": "L2", "eps": 0.5}, "L2", None),
        ("torchattacks.AutoAttack", {}, "Linf", 8 / 255),
        ("torchattacks.AutoAttack", {"norm": "L2", "eps": 0.5}, "L2", None),
        ("torchattacks.PIFGSM", {}, "Linf", 16 / 255),
        ("torchattacks.CW", {}, None, None),
        ("foolbox.attacks.LinfPGD", {"eps": "8/255", "rel_stepsize": "1/30"}, "Linf", 8 / 255),
        ("foolbox.attacks.L2PGD", {"eps": 3}, "L2", None),
        ("foolbox.attacks.LinfDeepFoolAttack", {"eps": "4/255"}, "Linf", 4 / 255),
        ("foolbox.attacks.LinfDeepFoolAttack", {}, "Linf", None),
        ("foolbox.attacks.InversionAttack", {}, None, None),
    ],
)
def test_each_librarys_budget_is_read_in_its_own_norm(
    path: str, options: dict[str, Any], norm: str | None, eps: float | None, small: nn.Module
) -> None:
    pytest.importorskip(path.split(".")[0])
    attack = create_attack(path, small, **options)
    assert (attack.norm, attack.eps) == (norm, eps)


def test_an_l2_attack_keeps_its_budget_and_passes_that_of_any_single_pixel(
    small: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    pytest.importorskip("foolbox")
    images, labels = batch
    attack = create_attack("foolbox.attacks.L2PGD", small, eps=3, steps=3)
    change = (attack(images, labels) - images).flatten(1)
    assert change.norm(dim=1).max() <= 3 + 1e-5
    assert change.norm(dim=1).max() > 2.9


@pytest.mark.parametrize(("name", "options"), [("LinfDeepFoolAttack", {}), ("LInfFMNAttack", {"steps": 5})])
def test_a_minimization_keeps_the_budget_it_is_given(
    name: str, options: dict[str, Any], small: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    pytest.importorskip("foolbox")
    images, labels = batch[0], small(batch[0]).argmax(1)  # all are right, so that the attack has work to do
    changes = [
        (create_attack(f"foolbox.attacks.{name}", small, **options, **budget)(images, labels) - images).abs().max()
        for budget in ({}, {"eps": "1/2550"})
    ]
    assert changes[0] > 1 / 255
    assert 0 < changes[1] <= 1 / 2550 + 1e-6


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("torchattacks.MultiAttack", {}, "it takes a list of attacks in place of a model"),
        ("torchattacks.LGV", {}, "it trains copies of the model"),
        ("foolbox.attacks.GenAttack", {"eps": 0.1}, "it is targeted alone"),
        ("foolbox.attacks.DatasetAttack", {}, "it draws from a data set"),
        ("foolbox.attacks.LinfPGD", {}, "it has no budget of its own; give eps, in Linf distance"),
        ("foolbox.attacks.InversionAttack", {"eps": 0.1}, "it knows no distance that eps could be measured by"),
        ("foolbox.attacks.L2PGD", {"eps": "much"}, "eps 'much' is not a number or a fraction"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(
    path: str, options: dict[str, Any], reason: str, small: nn.Module
) -> None:
    pytest.importorskip(path.split(".")[0])
    with pytest.raises(ValueError, match=reason):
        create_attack(path, small, **options)


def test_an_attack_that_would_take_all_memory_is_refused_for_large_images(small: nn.Module) -> None:
    pytest.importorskip("torchattacks")
    with pytest.raises(ForeignAttackError, match=r"JSMA' failed: .* may have 64 pixels a side at most, not 224"):
        create_attack("torchattacks.JSMA", small)(torch.rand(1, 3, 224, 224), torch.tensor([0]))


def test_every_generator_is_seeded_from_the_keys_and_put_back(small: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    attack = create_attack(f"{OWN}.Noise", small)  # its seed is 0, where None would mean the time of day
    keys = list("abcdef")
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(()), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    first = attack(*batch, keys)
    assert (torch.rand(()), np.random.rand(), random.random()) == expected
    assert torch.equal(attack(*batch, keys), first)
    assert not torch.equal(attack(*batch, list("ghijkl")), first)


def test_what_comes_back_must_be_images(small: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ForeignAttackError, match=r"no images of shape \[6, 3, 20, 20\] but of shape \[6\]"):
        create_attack(f"{OWN}.Misshapen", small)(*batch)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("AutoAttack", {}),  # an image that survives the first stage goes on to the others
        ("PGDL2", {"steps": 2}),
        ("FAB", {"steps": 2}),
        ("Square", {"n_queries": 20}),
        ("APGDT", {"steps": 2}),
        ("OnePixel", {"steps": 1, "popsize": 2}),
        ("Pixle", {"restarts": 1, "max_iterations": 1}),
        ("TIFGSM", {"steps": 2}),
    ],
)
def test_attacks_that_need_the_plain_layout_run_on_a_fast_network_in_bfloat16(
    path: str, options: dict[str, Any], small: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    images = batch[0][:2]
    if path == "AutoAttack":  # its last stage asks the model 5000 times
        square = torchattacks.attacks.autoattack.Square
        monkeypatch.setattr(
            torchattacks.attacks.autoattack, "Square", lambda *args, **kw: square(*args, **kw | {"n_queries": 20})
        )
    with torch.no_grad():
        labels = small(images).argmax(1)  # all are right, so that the attack has work to do
        with torch.autocast("cpu", torch.bfloat16):
            made = create_attack(f"torchattacks.{path}", small, **options)(images, labels)
    assert made.shape == images.shape
    assert made.isfinite().all()
