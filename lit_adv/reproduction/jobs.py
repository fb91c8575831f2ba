"""Jobs: ordinary runs of ``lit-adv``, each with a folder of its own, and what of them is there already."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lit_adv.attacks import describe_attack
from lit_adv.errors import MendableError
from lit_adv.shards import publish, storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.listing import list_shards
from lit_adv.shards.manifest import MANIFEST_FILE

#: Which parts of the command line each command knows; the others are not handed on to it.
_DECODING = ("image_size", "resize", "interpolation", "keep_size", "num_classes", "label_field", "image_field")
_DATA = {
    "generate": (*_DECODING, "target_field", "batch_size", "num_workers", "job"),
    "clean": (*_DECODING, "batch_size", "num_workers"),
    "test": ("batch_size", "num_workers", "verify"),
}
_GROUPS = {
    "generate": ("--trainer.", "--model.", "--output."),
    "clean": ("--trainer.",),
    "test": ("--trainer.", "--report."),
}

#: Beside the results of an evaluation, or of clean images: what they rest on.
INPUTS_FILE = "inputs.json"


@dataclass(frozen=True)
class Job:
    """A run of ``lit-adv generate``, ``test`` or ``clean``.

    Attributes:
        name: Its folder, below the output folder.
        command: The command.
        settings: Its configuration.
        needs: Jobs that come first, by name.
        cost: Passes for each image, by the model's spec: a pass forward and backward counts as 1.
        passes: Passes for each image, as people count them.
    """

    name: str
    command: str
    settings: dict[str, Any]
    needs: tuple[str, ...] = ()
    cost: Mapping[str, float] = field(default_factory=dict)
    passes: int = 0


class Folder:
    """The output folder: where each job's files are, and which jobs are done.

    Args:
        path: The folder.
        handed_on: What the user typed for the jobs, option by option.
        files: The digests of weights by their paths.

    Raises:
        MendableError: If no job takes an option.
    """

    def __init__(self, path: Path, handed_on: Sequence[Sequence[str]], files: Mapping[str, str]) -> None:
        for words in handed_on:
            name = words[0].partition("=")[0]
            if not any(_takes(command, name) for command in _GROUPS):
                known = sorted({f"--data.{option}" for options in _DATA.values() for option in options})
                raise MendableError(f"no job takes {name}: of --data there are {', '.join(known)}")
        self.path = path
        self.handed_on = handed_on
        self.files = files

    def arguments(self, job: Job) -> list[str]:
        """Return what stands behind ``lit-adv`` to run a job; the configuration is in its file."""
        return [job.command, "--config", str(self.config_file(job)), *self._handed_on_to(job.command)]

    def command(self, job: Job) -> str:
        """Return the command to type."""
        return shlex.join(["lit-adv", *self.arguments(job)])

    def config_file(self, job: Job) -> Path:
        """Return the file of the job's configuration."""
        return self.path / "jobs" / f"{job.name.replace('/', '.')}.yaml"

    def log_file(self, job: Job) -> Path:
        """Return the file of what the job says."""
        return self.path / "jobs" / f"{job.name.replace('/', '.')}.log"

    def write_config(self, job: Job) -> None:
        """Write a job's configuration."""
        self.config_file(job).parent.mkdir(parents=True, exist_ok=True)
        publish.replace(str(self.config_file(job)), yaml.safe_dump(job.settings, sort_keys=False).encode())

    def done(self, job: Job) -> bool:
        """Tell whether a job has nothing left to do.

        A generation's manifest must record the job's settings; where it does not, running the job tells the user what
        differs. Results must rest on what would be read now.
        """
        folder = self.path / job.name
        if job.command == "generate":
            return (folder / MANIFEST_FILE).is_file() and self._made_with(job, folder)
        return (folder / INPUTS_FILE).is_file() and storage.read_json(str(folder / INPUTS_FILE)) == self.inputs(job)

    def finish(self, job: Job) -> None:
        """Record what the results of a job that has ended well rest on."""
        if job.command != "generate":
            publish.replace(str(self.path / job.name / INPUTS_FILE), canonical_json(self.inputs(job)))

    def inputs(self, job: Job) -> dict[str, Any] | None:
        """Return what a job's results rest on; None while some of it is missing."""
        settings = job.settings["model"]
        text = str(settings)
        digests = {}
        for name, folder in job.settings["data"].get("attacks", {}).items():
            manifest = Path(folder) / MANIFEST_FILE
            if not manifest.is_file():
                return None
            digests[name] = hashlib.sha256(manifest.read_bytes()).hexdigest()
        files = {path: digest for path, digest in self.files.items() if path in text}
        if digests:
            # The report's options say which pictures are kept.
            report = {"report": typed} if (typed := dict(self.typed("report"))) else {}
            return {"model": settings, "weights": files, "attacks": digests, **report}
        data = job.settings["data"] | {name: value for name, value in self.typed("data") if name in _DECODING}
        shards = list_shards(data.pop("shards"))
        return {"model": settings, "weights": files, "shards": storage.file_sizes(shards), "data": data}

    def _made_with(self, job: Job, folder: Path) -> bool:
        """Tell whether a manifest records the job's settings and what was typed."""
        made, wanted = storage.read_json(str(folder / MANIFEST_FILE))["config"], job.settings["model"]
        data = {"image_size": job.settings["data"]["image_size"]} | dict(self.typed("data"))
        model = {"attack": wanted["attack"], "attack_options": wanted["attack_options"]}
        for name, value in self.typed("model"):
            group, _, option = name.partition(".")
            model[group] = {**model[group], option: value} if option else value
        model["attack_options"] = describe_attack(model["attack"], **model["attack_options"])
        precision = dict(self.typed("trainer")).get("precision", made["precision"])
        return (
            made["model"]["surrogate"].keys() == set(wanted["surrogate"])
            and made["model"].get("members", wanted["surrogate"]) == wanted["surrogate"]
            and all(made["model"].get(name) == value for name, value in model.items())
            and all(made["data"][name] == value for name, value in data.items() if name in made["data"])
            and made["precision"].startswith(str(precision))  # 32 stands for 32-true
        )

    def typed(self, group: str) -> Iterator[tuple[str, Any]]:
        """Yield the settings of a group that were typed, and their values."""
        for words in self.handed_on:
            name, equals, value = words[0].partition("=")
            if name.startswith(f"--{group}."):
                yield name.removeprefix(f"--{group}."), yaml.safe_load(value if equals else " ".join(words[1:]))

    def _handed_on_to(self, command: str) -> list[str]:
        words: list[str] = []
        for option in self.handed_on:
            if _takes(command, option[0].partition("=")[0]):
                words += option
        return words


def _takes(command: str, option: str) -> bool:
    return option.startswith(_GROUPS[command]) or option.removeprefix("--data.") in _DATA[command]
