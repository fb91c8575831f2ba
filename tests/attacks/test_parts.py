"""Parts as configurations name them, and how an attack of parts is described."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.attacks import count_passes, create_attack, describe_attack, list_attacks
from lit_adv.attacks.backward import BACKWARD
from lit_adv.attacks.directions import DIRECTIONS
from lit_adv.attacks.losses import LOSSES
from lit_adv.attacks.named import FAMILY
from lit_adv.attacks.updates import UPDATES
from lit_adv.attacks.views import VIEWS, Moment, Scene, Transform, View
from lit_adv.models import Classifier, Ensemble
from tests.attacks.conftest import tiny_network

KEYS = ["first", "second", "third"]


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("bsr", {"copies": 20, "blocks": 2, "rotation": 24.0}),
        ({"bsr": None}, {"copies": 20, "blocks": 2, "rotation": 24.0}),
        ({"bsr": {}}, {"copies": 20, "blocks": 2, "rotation": 24.0}),
        ({"bsr": 4}, {"copies": 4, "blocks": 2, "rotation": 24.0}),
        ({"bsr": {"blocks": 3, "rotation": 12}}, {"copies": 20, "blocks": 3, "rotation": 12}),
        ({"scale": 5}, {"copies": 5}),
        ({"diverse": 0.5}, {"probability": 0.5, "interpolation": "nearest"}),
        ({"diverse": "1/4"}, {"probability": 0.25, "interpolation": "nearest"}),
        ({"ssm": {"noise": "8/255"}}, {"copies": 20, "noise": 8 / 255, "rho": 0.5}),
        ({"dem": [1.5, "5/2"]}, {"ratios": [1.5, 2.5], "interpolation": "nearest"}),
    ],
    ids=str,
)
def test_a_part_is_a_name_or_a_name_with_options_or_with_its_first_option(spec: Any, options: dict[str, Any]) -> None:
    ((name, described),) = describe_attack("mi_fgsm", views=[spec])["views"][0].items()
    assert name == (spec if isinstance(spec, str) else next(iter(spec)))
    assert described == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ["bsrr"]}, "unknown view 'bsrr', did you mean 'bsr'?; known: scale, diverse, admix"),
        ({"views": [{"BSR": 2}]}, "unknown view 'BSR', did you mean 'bsr'?"),
        ({"views": ["median"]}, "unknown view 'median'; known: scale"),
        ({"views": [{"bsr": {"block": 2}}]}, "view 'bsr' has no option 'block'; its options: copies, blocks, rotation"),
        ({"views": [{"bsr": {"blocks": "2"}}]}, "view 'bsr': blocks is '2', but must be of type int"),
        ({"views": [{"bsr": {"blocks": 0}}]}, "view 'bsr': blocks is 0, but must be in [1, 16]"),
        ({"views": [{"bsr": {"rotation": 270}}]}, "view 'bsr': rotation is 270, but must be in [0, 180]"),
        ({"views": [{"scale": 2.5}]}, "view 'scale': copies is 2.5, but must be of type int"),
        ({"views": [{"scale": True}]}, "view 'scale': copies is True, but must be of type int"),
        (
            {"views": [{"scale": None}, {"scale": {"copies": None}}]},
            "view 'scale': copies is None, but must be of type",
        ),
        ({"views": [{"diverse": float("nan")}]}, "view 'diverse': probability is nan, but must be in [0, 1]"),
        ({"views": [{"dem": {"interpolation": "cubic"}}]}, "view 'dem': interpolation is 'cubic', but must be one of"),
        ({"views": [{"dem": []}]}, "view 'dem': ratios is [], but must be numbers above 1"),
        ({"views": [{"dem": [1.5, 1]}]}, "view 'dem': ratios is [1.5, 1], but must be numbers above 1"),
        ({"views": [{"dem": 5}]}, "view 'dem': ratios is 5, but must be a list of float"),
        ({"views": [{"dem": ["large"]}]}, "view 'dem': ratios is ('large',), but must be a list of float"),
        ({"views": [{"scale": 2, "bsr": 2}]}, "a view is a name, or one name with its options"),
        ({"views": [None]}, "a view is a name, or one name with its options such as {name: {option: value}}, not None"),
        ({"views": "bsr"}, "views is 'bsr', but must be"),
        ({"views": ["bsr"], "scale_copies": 3}, "views and scale_copies are both given: put {scale: 3} into views"),
        ({"views": [], "diversity_probability": 0.2}, "are both given: put {diverse: 0.2} into views"),
        ({"views": ["dem"], "interpolation": "bilinear"}, "put {diverse: {interpolation: bilinear}} into views"),
        ({"views": [{"scale": 2}, {"bsr": 3}], "copies_a_step": 7}, "copies_a_step is 7, but must be in [1, 6]"),
        ({"direction": "vmni"}, "unknown direction 'vmni', did you mean 'vni'?; known: plain, ni, vmi"),
        ({"direction": {"plain": 3}}, "direction 'plain' has no options, but is given 3"),
        ({"direction": {"emi": {"samples": 1}}}, "direction 'emi': samples is 1, but must be in [2, inf]"),
        ({"direction": 3}, "direction is 3, but must be of type str or of type dict"),
        ({"direction": "svre"}, "the direction 'svre' asks members of an ensemble: name several surrogates"),
        ({"loss": "logits"}, "unknown loss 'logits', did you mean 'logit'?"),
        ({"loss": "po_trip"}, "the loss 'po_trip' is for targeted attacks: set target"),
        ({"update": "adam"}, "unknown update 'adam', did you mean 'adam_tanh'?; known: sign, adam_tanh"),
        ({"update": {"sign": {"decay": 1.5}}}, "update 'sign': decay is 1.5, but must be in [0.01, 1]"),
        ({"update": {"adam_tanh": {"scale": -1}}}, "update 'adam_tanh': scale is -1, but must be in [0, inf]"),
        ({"warm_up_steps": -1}, "warm_up_steps is -1, but must be in [0, inf]"),
    ],
    ids=str,
)
def test_a_wrong_part_is_answered_with_what_is_right(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_attack("mi_fgsm", nn.Flatten(), **options)


def test_a_description_says_where_views_must_be_a_list() -> None:
    """It is what a job asks for first."""
    with pytest.raises(ValueError, match=re.escape("views is 'bsr', but must be a list such as [{scale: 5}, bsr]")):
        describe_attack("mi_fgsm", views="bsr")


def test_a_loss_of_logits_is_refused_for_an_ensemble_that_fuses_something_else(network: nn.Module) -> None:
    network.fusion = "probabilities"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="the loss 'logit' is of logits, but the ensemble fuses probabilities"):
        create_attack("mi_fgsm", network, loss="logit")


@pytest.mark.parametrize("direction", ["longitudinal", "longitudinal_ni", "cwa"])
def test_weights_are_refused_where_members_are_asked_alike(direction: str) -> None:
    members = [tiny_network(seed) for seed in range(3)]
    with pytest.raises(
        ValueError, match=rf"the direction '{direction}' asks all members alike.*: leave ensemble_weights"
    ):
        create_attack("mi_fgsm", Ensemble(members, [1, 1, 2]), direction=direction)
    for weights in (None, [0.1, 0.1, 0.1]):
        create_attack("mi_fgsm", Ensemble(members, weights), direction=direction)


def test_a_step_cannot_ask_more_members_than_there_are() -> None:
    ensemble = Ensemble([tiny_network(seed) for seed in range(2)])
    create_attack("mi_fgsm", ensemble, direction={"longitudinal": 2})
    with pytest.raises(ValueError, match="asks 3 members a step, but the ensemble has 2"):
        create_attack("mi_fgsm", ensemble, direction={"longitudinal": 3})


@pytest.mark.parametrize("option", [{"aux_weight": 0.4}, {"background": True}], ids=str)
def test_a_loss_of_logits_is_refused_for_a_surrogate_with_a_loss_of_its_own(option: dict[str, Any]) -> None:
    classifier = Classifier(tiny_network(0), class_offset=1)
    for name, value in option.items():
        setattr(classifier, name, value)
    for surrogate in (classifier, Ensemble([Classifier(tiny_network(1)), classifier])):
        create_attack("mi_fgsm", surrogate)
        with pytest.raises(
            ValueError, match=r"aux and background in a surrogate's name .*: leave them out of the name"
        ):
            create_attack("mi_fgsm", surrogate, loss="logit")


def test_a_fusion_is_refused_where_nothing_is_fused() -> None:
    ensemble = Ensemble([tiny_network(seed) for seed in range(2)], fusion="probabilities")
    with pytest.raises(ValueError, match=r"the direction 'longitudinal' .* fuses nothing: leave fusion out"):
        create_attack("mi_fgsm", ensemble, direction="longitudinal")
    for direction in ("svre", "cwa"):  # which ask the whole ensemble, too
        create_attack("mi_fgsm", ensemble, direction=direction)


@pytest.mark.parametrize("name", FAMILY)
def test_the_description_of_an_attack_makes_the_same_attack(name: str) -> None:
    described = describe_attack(name, seed=3)
    assert describe_attack(name, **described) == described
    again, made = (create_attack(name, nn.Flatten(), **options).settings for options in (described, {"seed": 3}))
    assert (again.view_parts, again.direction_part, again.loss_part, again.update_part) == (
        (made.view_parts, made.direction_part, made.loss_part, made.update_part)
    )
    assert count_passes(name, **described) == count_passes(name) == list_attacks()[name].passes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vni_fgsm", {"direction": "plain"}),
        ("admix", {"views": None, "scale_copies": 2}),
        ("dem", {"step_factor": 1.0}),
        ("gi_fgsm", {"warm_up_steps": 0}),
        ("logit_targeted", {"loss": "cross_entropy", "target": None}),
    ],
)
def test_what_an_option_takes_back_is_described(name: str, options: dict[str, Any]) -> None:
    described = describe_attack(name, **options)
    assert {setting: described[setting] for setting in options} == options
    assert describe_attack(name, **described) == described


def test_views_take_the_place_of_the_scale_copies_and_the_diverse_input_of_a_named_attack() -> None:
    views = [{"scale": 5}, {"diverse": 0.5}, {"bsr": {"copies": 2}}]
    described = describe_attack("si_ni_ti_dim", views=views)
    assert [next(iter(view)) for view in described["views"]] == ["scale", "diverse", "bsr"]
    assert (described["scale_copies"], described["diversity_probability"]) == (1, 0.0)
    assert (described["nesterov"], described["kernel_size"]) == (True, 7)
    assert count_passes("si_ni_ti_dim", views=views) == 100


@pytest.mark.parametrize(
    "options",
    [{"direction": {"plain": None}}, {"loss": {"cross_entropy": {}}}, {"backward": "exact"}, {"update": {"sign": 1.0}}],
    ids=str,
)
def test_defaults_are_described_alike_however_they_are_written(options: dict[str, Any]) -> None:
    assert describe_attack("mi_fgsm", **options) == describe_attack("mi_fgsm")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_part_s_description_is_the_part(data: st.DataObject) -> None:
    """Parts with every option described are parts that describe themselves so."""
    views = data.draw(st.lists(st.sampled_from(sorted(VIEWS)), max_size=3))
    parts = {
        kind: data.draw(st.sampled_from(sorted(table)))
        for kind, table in (
            ("direction", DIRECTIONS),
            ("loss", LOSSES),
            ("backward", BACKWARD),
            ("update", UPDATES),
        )
    }
    described = describe_attack("mi_fgsm", views=views, **parts)
    assert [next(iter(view)) for view in described["views"]] == views
    assert describe_attack("mi_fgsm", **described) == described
    assert count_passes("mi_fgsm", **described) == count_passes("mi_fgsm", views=views, **parts)


@dataclass(frozen=True)
class Mirror(View):
    """Mirrors an image along one axis, each copy along another: a whole view, as a file of its own would have it."""

    copies: int = 2

    def prepare(self, scene: Scene) -> Transform:
        """Return the map."""
        coin = scene.uniform("mirror")

        def mirror(centered: Tensor, moment: Moment) -> Tensor:
            assert isinstance(moment.copy, int)
            thrown = (coin[:, moment.step, moment.slot] < 0.5).view(-1, 1, 1, 1)
            return torch.where(thrown, centered.flip(2 + moment.copy), centered)

        return mirror


def test_a_new_view_is_a_class_and_one_row(
    network: nn.Module, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="unknown view 'mirror'"):
        describe_attack("mi_fgsm", views=["mirror"])
    monkeypatch.setitem(VIEWS, "mirror", Mirror)
    options = {"views": [{"mirror": {"copies": 2}}, {"scale": 2}], "direction": {"vni": 2}, "steps": 3}
    assert describe_attack("mi_fgsm", **options)["views"][0] == {"mirror": {"copies": 2}}
    attack = create_attack("mi_fgsm", network, **options)
    made = attack(images, labels, KEYS)
    assert (made - images).abs().max() <= 16 / 255 + 1e-9
    assert not torch.equal(made, create_attack("mi_fgsm", network, **options, seed=1)(images, labels, KEYS))
    for b in range(3):
        alone = attack(images[b : b + 1], labels[b : b + 1], KEYS[b : b + 1])
        torch.testing.assert_close(alone[0], made[b], rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="view 'mirror' has no option 'axis'; its options: copies"):
        describe_attack("mi_fgsm", views=[{"mirror": {"axis": 1}}])
