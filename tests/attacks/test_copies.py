"""Which copies a step sees, and that all of its gradients see the same."""

from collections import Counter
from itertools import product
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.attacks.copies import copies_in_turn, steps_until_copies_repeat
from lit_adv.attacks.directions import Run, Step
from lit_adv.attacks.directions.longitudinal import Longitudinal
from lit_adv.attacks.directions.svre import VarianceReducedEnsemble
from lit_adv.attacks.gradient_sign import GradientSignAttack
from lit_adv.models import Ensemble

KEYS = ["first", "second", "third"]
COUNTS = st.lists(st.integers(1, 6), max_size=3)
SCHEDULES = [{"copies_a_step": 1}, {"copies_a_step": 2}, {"copies_a_step": 2, "copy_order": "drawn"}]


class Linear(nn.Module):
    """Logits that are linear in the image: their gradient is the same everywhere."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(3 * 20 * 20, 5).double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits


def gradients_of(attack: GradientSignAttack, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return the list that each step's gradient is put into from now on."""
    taken: list[Tensor] = []
    kind = type(attack._direction)
    begin = kind.begin

    def noting(self: Any, run: Run) -> Step:
        step = begin(self, run)

        def note(start: Tensor, point: Tensor, t: int) -> Tensor:
            taken.append(step(start, point, t))
            return taken[-1]

        return note

    monkeypatch.setattr(kind, "begin", noting)
    return taken


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("direction", ["vmi", "vni", "emi", "gra", "pgn"])
def test_where_the_loss_is_linear_a_direction_of_many_gradients_is_the_gradient(
    direction: str, schedule: dict[str, Any], images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradients of a step differ by their points alone; of other copies, they would be of another size."""
    options = {"views": [{"scale": 5}], "loss": "logit", "steps": 3, "eps": 0.01, **schedule}
    many, plain = (create_attack("mi_fgsm", Linear(), direction=part, **options) for part in ({direction: 3}, "plain"))
    assert isinstance(many, GradientSignAttack)
    assert isinstance(plain, GradientSignAttack)
    of_many, of_one = gradients_of(many, monkeypatch), gradients_of(plain, monkeypatch)
    many(images, labels, KEYS)
    plain(images, labels, KEYS)
    for one, other in zip(of_many, of_one, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=0)


@pytest.mark.parametrize("views", [[{"scale": 5}], [{"scale": 3}, {"diverse": 1.0}]], ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_inner_loop_of_svre_starts_with_the_ensemble_s_gradient(
    views: list[Any], schedule: dict[str, Any], images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever member is drawn first, its gradient at the start is subtracted from itself."""
    options = {"views": views, "loss": "logit", "steps": 3, **schedule}
    ensemble = Ensemble([Linear(seed) for seed in range(3)])
    plain, svre = (create_attack("mi_fgsm", ensemble, direction=part, **options) for part in ("plain", {"svre": 1}))
    assert isinstance(plain, GradientSignAttack)
    assert isinstance(svre, GradientSignAttack)
    run = svre._begin(images, labels, KEYS)
    for t in range(3):
        whole = run.gradient(images, step=t, number=0)
        made = VarianceReducedEnsemble(inner=1).begin(run)(images, images, t)
        torch.testing.assert_close(made, whole / whole.abs().mean(dim=(1, 2, 3), keepdim=True), rtol=1e-12, atol=0)


@settings(deadline=None)
@given(counts=COUNTS, first=st.integers(0, 3))
def test_copies_in_turn_are_all_seen_once_before_any_comes_again(counts: list[int], first: int) -> None:
    every_copy = prod(counts)
    turns = [copies[0] for copies in copies_in_turn(counts, steps=(first + 1) * every_copy, a_step=1)]
    assert sorted(turns[first * every_copy :]) == sorted(product(*map(range, counts)))


@settings(deadline=None)
@given(counts=COUNTS)
def test_few_steps_see_all_copies_of_each_view(counts: list[int]) -> None:
    """A view that goes through its copies last must not wait for the others to have gone through theirs."""
    for view, count in enumerate(counts):
        turns = [copies[0][view] for copies in copies_in_turn(counts, steps=count, a_step=1)]
        assert sorted(turns) == list(range(count))


@settings(deadline=None)
@given(counts=COUNTS, a_step=st.integers(1, 20), steps=st.integers(0, 30))
def test_copies_take_their_turn_in_one_order_however_many_a_step_sees(
    counts: list[int], a_step: int, steps: int
) -> None:
    one_by_one = [copies[0] for copies in copies_in_turn(counts, steps * a_step, a_step=1)]
    together = copies_in_turn(counts, steps, a_step)
    if a_step == prod(counts):
        assert together == [list(product(*map(range, counts)))] * steps
    else:
        assert [copy for copies in together for copy in copies] == one_by_one


@settings(deadline=None)
@given(counts=COUNTS, data=st.data())
def test_the_steps_until_copies_repeat(counts: list[int], data: st.DataObject) -> None:
    a_step = data.draw(st.integers(1, prod(counts)))
    period = steps_until_copies_repeat(prod(counts), a_step, "in_turn")
    turns = copies_in_turn(counts, 2 * period, a_step)
    assert turns[:period] == turns[period:]
    assert turns[0] not in turns[1:period]


@settings(max_examples=50, deadline=None)
@given(asked=st.integers(1, 5), more=st.integers(0, 4), copies=st.integers(1, 6), data=st.data())
def test_each_member_in_turn_sees_each_copy_equally_often(
    asked: int, more: int, copies: int, data: st.DataObject
) -> None:
    members, a_step = asked + more, data.draw(st.integers(1, copies))
    period = steps_until_copies_repeat(copies, a_step, "in_turn")
    steps = period * members
    shown = copies_in_turn([copies], steps, a_step)
    met: Counter[tuple[int, Any]] = Counter()

    def gradient(point: Tensor, *, step: int, number: int, member: int | None = None) -> Tensor:
        met.update((member or 0, copy) for copy in shown[step])
        return point

    run = Run(gradient, torch.zeros(1, 3, 2, 2), ["key"], 0, 0.1, 0.01, steps, period, False, [1.0] * members)
    step = Longitudinal(asked).begin(run)
    for t in range(steps):
        step(run.images, run.images, t)
    assert len(met) == members * copies
    assert len(set(met.values())) == 1


def test_members_keep_their_turn_where_each_step_shows_all_copies() -> None:
    asked: list[int | None] = []

    def gradient(point: Tensor, *, step: int, number: int, member: int | None = None) -> Tensor:
        asked.append(member)
        return point

    run = Run(gradient, torch.zeros(1, 3, 2, 2), ["key"], 0, 0.1, 0.01, 7, 1, False, [1.0] * 3)
    step = Longitudinal(1).begin(run)
    for t in range(7):
        step(run.images, run.images, t)
    assert asked == [0, 1, 2, 0, 1, 2, 0]
