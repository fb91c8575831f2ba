"""``lit-adv dashboard``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from lit_adv.errors import MendableError

_PROJECT = re.compile(r"[^/\s]+/[^/\s]+")


def dashboard(arguments: Sequence[str], prog: str = "lit-adv dashboard") -> None:
    """Save a view of a W&B project, and print its address.

    Raises:
        MendableError: If the package for it is missing, or W&B does not take the view.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Save a view of a W&B project that shows what this package logs, in one place: generation, "
        "transfer and training. It needs the network, an API key (wandb login) and the package wandb-workspaces.",
    )
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="the project; its runs may be made before or after")
    parser.add_argument("--name", default="lit_adv", help="what the view is called (default: lit_adv)")
    options = parser.parse_args(arguments)
    if not _PROJECT.fullmatch(options.project):
        parser.error(f"the project must be written as ENTITY/PROJECT, not {options.project!r}")
    entity, _, project = options.project.partition("/")
    view = build_view(entity, project, options.name)
    try:
        view.save()
    except Exception as error:  # the package passes on whatever W&B, its client or the network raise
        raise MendableError(
            f"W&B does not take the view of {options.project} ({error}); is the project there, is the network, and has "
            "wandb login been called?"
        ) from error
    print(f"view      {view.url}")


def build_view(entity: str, project: str, name: str) -> Any:
    """Return a view that is not saved yet, a ``wandb_workspaces.workspaces.Workspace``; takes no network.

    Raises:
        MendableError: If the package for it is missing.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise MendableError(f"views take a package of W&B's ({error}): pip install wandb-workspaces") from error

    def lines(title: str, *metrics: str) -> Any:
        return panels.LinePlot(title=title, x="Step", y=list(metrics))

    def media(title: str, *keys: str) -> Any:
        return panels.MediaBrowser(title=title, media_keys=list(keys))

    sections = {
        "Transfer": [
            media("The page of results", "page"),
            media("Success, attacks by targets", "heat_map"),
            panels.WeavePanelSummaryTable(table_name="transfer"),
        ],
        "Generation": [
            lines("Images a second", "images_per_second"),
            lines("Shards", "shards_done", "shards_failed"),
            lines("Clean accuracy and fooled", "clean_accuracy", "fooled_share", "fooled_share_on_correct"),
            lines("Seconds left", "seconds_left"),
            panels.WeavePanelSummaryTable(table_name="failed_shards"),
        ],
        "Training": [
            lines("Accuracies", "val/clean_accuracy", "val/robust_accuracy"),
            lines("Loss", "train/loss"),
            lines("Learning rate", "learning_rate"),
            lines("Images a second", "train/images_per_second"),
        ],
        "Images": [media("Clean, adversarial, change", "examples")],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=title, panels=shown, is_open=True) for title, shown in sections.items()],
    )
