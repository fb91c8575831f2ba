"""Attacks of other libraries plug in by class path."""

import pytest
import torch
from torch import Tensor

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier


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
