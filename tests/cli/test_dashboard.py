"""``lit-adv dashboard``: the view as it would be saved. Saving it takes W&B's server, which no test asks."""

import sys
from typing import Any

import pytest

from lit_adv.callbacks.tally import Tally
from lit_adv.callbacks.telemetry import metrics
from lit_adv.cli import dashboard
from lit_adv.cli.dashboard import build_view
from lit_adv.cli.main import run as main
from lit_adv.errors import MendableError


@pytest.fixture
def view() -> Any:
    pytest.importorskip("wandb_workspaces", reason="needs the package wandb-workspaces")
    return build_view("me", "shards", "all of it")


def shown(view: Any, section: str, attribute: str) -> set[str]:
    """What the panels of a section show."""
    [found] = [part for part in view.sections if part.name == section]
    return {name for panel in found.panels for name in getattr(panel, attribute, None) or []}


def test_the_view_belongs_to_the_project(view: Any) -> None:
    assert (view.entity, view.project, view.name) == ("me", "shards", "all of it")
    assert [part.name for part in view.sections] == ["Transfer", "Generation", "Training", "Images"]


def test_generations_lines_are_metrics_that_generation_logs(view: Any) -> None:
    tally = Tally(images=4, fooled=3, clean_correct=4, clean_correct_fooled=3, samples_done=4, samples_known=4,
                  shards_known=1, shards_assigned=2, seconds=1.0)  # fmt: skip
    names = {name if isinstance(name, str) else name.name for name in shown(view, "Generation", "y")}
    assert names
    assert names <= metrics([tally]).keys()


def test_pictures_and_the_page_are_shown(view: Any) -> None:
    assert shown(view, "Transfer", "media_keys") == {"page", "heat_map"}
    assert shown(view, "Images", "media_keys") == {"examples"}


def test_what_wandb_refuses_ends_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        """A view that cannot be saved, as without a network."""

        def save(self) -> None:
            raise ConnectionError("no route to host")

    monkeypatch.setattr(dashboard, "build_view", lambda *names: Refused())
    with pytest.raises(MendableError, match=r"me/shards.*no route to host.*wandb login"):
        main(["dashboard", "me/shards"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(MendableError, match="pip install wandb-workspaces"):
        main(["dashboard", "me/shards"])


@pytest.mark.parametrize("project", ["shards", "me/", "a/b/c"])
def test_a_project_has_an_entity(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dashboard", project])
    assert "ENTITY/PROJECT" in capsys.readouterr().err
