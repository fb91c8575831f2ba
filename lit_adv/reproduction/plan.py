"""From the tables and figures that are wanted to the jobs that make them, and how long these take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_adv.attacks import count_passes
from lit_adv.reproduction.experiments import (
    CURVES,
    ENSEMBLE,
    PICTURED,
    SCALES,
    TABLES,
    AttackRun,
    attacked_specs,
    run_of,
    sources_of,
)
from lit_adv.reproduction.jobs import Folder, Job
from lit_adv.reproduction.zoo import Zoo

#: The job that shows all clean images to all targets, and the folder of those that are chosen.
SELECTION = "selection"
CHOSEN = "selection/shards"

_FORWARD = 1 / 3  # of a pass forward and backward
_START_SECONDS = 5.0
_VIEWS = {"rp": 30, "nips_r3": 4, "rs": 100}  # of an image, by defenses that look at it several times


class Planner:
    """Makes the jobs of one output folder.

    Args:
        zoo: The models, with the paths of weights in their specs.
        shards: The clean shards.
        folder: The output folder.
        group: The W&B group of all runs.
    """

    def __init__(self, zoo: Zoo, shards: str | Sequence[str], folder: Path, group: str) -> None:
        self.zoo = zoo
        self.shards = shards
        self.folder = folder
        self.group = group

    def selection(self) -> Job:
        """Return the job that tells which images all targets classify correctly."""
        return self._clean(SELECTION, self.shards, self.zoo.targets, [])

    def jobs(self, wanted: Sequence[str]) -> list[Job]:
        """Return the jobs of tables and figures, each once, those that come first before those that need them."""
        jobs = [job for name in wanted for job in self._of(name)]
        return list({job.name: job for job in jobs}.values())

    def runs(self, name: str) -> list[tuple[str, AttackRun]]:
        """Return what a table or a figure attacks, and how."""
        if name in TABLES:
            sources = sources_of(TABLES[name], self.zoo)
            return [(source, run_of(attack, self.zoo)) for source in sources for attack in TABLES[name].attacks]
        if name == "figure2":
            first = self.zoo.surrogates[0]
            return [(first, run_of(attack, self.zoo, steps)) for attack in CURVES for steps in self.zoo.iterations]
        return [(ENSEMBLE, run_of(PICTURED, self.zoo))] if name == "figure3" else []

    def _of(self, name: str) -> Iterator[Job]:
        if name == "figure1":
            yield self._clean("results/figure1", str(self.folder / CHOSEN), self.zoo.surrogates, SCALES)
            return
        made = {attack_name(source, run): self._generation(source, run) for source, run in self.runs(name)}
        yield from made.values()
        if name in TABLES and TABLES[name].defended:
            for defense in self.zoo.defenses:
                yield self._evaluation(f"results/{name}/{defense}", made, [defense])
        elif name != "figure3":
            yield self._evaluation(f"results/{name}", made, self.zoo.targets)

    def _generation(self, source: str, run: AttackRun) -> Job:
        specs = attacked_specs(source, self.zoo)
        passes = count_passes(run.attack, **run.options)
        name = generation_name(source, run)
        return Job(
            name,
            "generate",
            {
                "model": {"surrogate": specs, "attack": run.attack, "attack_options": run.options},
                "data": {"shards": str(self.folder / CHOSEN), "image_size": self.zoo.image_size},
                "output": {"path": str(self.folder / name)},
                "trainer": self._trainer(name),
            },
            cost=dict.fromkeys(map(_timed_as, specs), passes + 2 * _FORWARD),
            passes=passes,
        )

    def _evaluation(self, name: str, made: Mapping[str, Job], targets: Sequence[str]) -> Job:
        described = [self.zoo.described(target) for target in targets]
        cost: dict[str, float] = {}
        for target in described:
            for spec in map(_timed_as, _specs(target)):
                views = target.get("n", _VIEWS.get(target.get("defense", ""), 1))
                cost[spec] = cost.get(spec, 0) + _FORWARD * views * (len(made) + 1)
        return Job(
            name,
            "test",
            {
                "model": {"targets": described},
                "data": {"attacks": {attack: job.settings["output"]["path"] for attack, job in made.items()}},
                "report": {"path": str(self.folder / name)},
                "trainer": self._trainer(name),
            },
            needs=tuple(job.name for job in made.values()),
            cost=cost,
            passes=len(made) + 1,
        )

    def _clean(self, name: str, shards: str | Sequence[str], models: Sequence[str], scales: list[float]) -> Job:
        return Job(
            name,
            "clean",
            {
                "model": {"models": [self.zoo.described(model) for model in models], "scales": scales},
                "data": {"shards": shards, "image_size": self.zoo.image_size},
                "report": {"path": str(self.folder / name)},
                "trainer": self._trainer(name),
            },
            cost={_timed_as(self.zoo.models[model]): _FORWARD * (1 + len(scales)) for model in models},
            passes=1 + len(scales),
        )

    def _trainer(self, name: str) -> dict[str, Any]:
        logs = str(self.folder / "logs")
        logger = {"project": "lit_adv", "save_dir": logs, "group": self.group, "name": name}
        return {
            "accelerator": "auto",
            "devices": "auto",
            "enable_progress_bar": False,
            "logger": [{"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": logger}],
        }


def generation_name(source: str, run: AttackRun) -> str:
    """Return the name of the job that attacks a surrogate, which is its folder."""
    return f"images/{source}/{run.label}"


def attack_name(source: str, run: AttackRun) -> str:
    """Return what an evaluation calls an attack on a surrogate."""
    return f"{source}_{run.label}"


def seconds_of(job: Job, images: int, seconds_a_pass: Mapping[str, float]) -> float:
    """Return how long a job takes, roughly.

    Args:
        job: The job.
        images: Its images.
        seconds_a_pass: How long a pass forward and backward takes for an image, by the model's spec.
    """
    return _START_SECONDS + images * sum(cost * seconds_a_pass.get(spec, 0.0) for spec, cost in job.cost.items())


def show_plan(
    jobs: Sequence[Job], done: Collection[str], folder: Folder, images: int, seconds_a_pass: Mapping[str, float]
) -> str:
    """Return the plan as text: a line for each job, with its command, and the sums.

    Args:
        jobs: The jobs.
        done: Names of those that have nothing left to do.
        folder: The output folder.
        images: How many images each job has.
        seconds_a_pass: See :func:`seconds_of`.
    """
    lines, left = [], 0.0
    for job in jobs:
        seconds = 0.0 if job.name in done else seconds_of(job, images, seconds_a_pass)
        left += seconds
        state = "done" if job.name in done else _duration(seconds)
        lines.append(f"{state:>8}  {job.passes:>5} passes  {folder.command(job)}")
    shown = sum(job.passes for job in jobs if job.command == "generate" and job.name not in done)
    return "\n".join(
        [
            *lines,
            f"{len(jobs)} jobs of {images} images each, {len(done)} done; {shown} passes forward and backward for each "
            f"image to go, and what looking at them takes: about {_duration(left)}",
        ]
    )


def _timed_as(spec: str) -> str:
    """Return the spec of a model that takes as long: without options, unless they change the images' size."""
    return spec if "size=" in spec else spec.partition("?")[0]


def _specs(target: Mapping[str, Any]) -> list[str]:
    """Return the specs of the models in a target."""
    inner = [part for value in target.values() if isinstance(value, list) for part in value if isinstance(part, dict)]
    own = [str(target["model"])] if "model" in target and not inner else []
    return own + [spec for part in inner for spec in _specs(part)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
