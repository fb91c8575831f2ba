"""The command from its settings to the tables: choose the images, run the jobs, write what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_adv.errors import EXIT_STATUS, MendableError
from lit_adv.reproduction.book import Book
from lit_adv.reproduction.jobs import Folder, Job
from lit_adv.reproduction.plan import SELECTION, Planner, show_plan
from lit_adv.reproduction.processes import Main, start_function
from lit_adv.reproduction.runner import Runner
from lit_adv.reproduction.selection import choose, count_samples, describe, read_selection
from lit_adv.reproduction.timing import measure_passes
from lit_adv.reproduction.tracking import log_book
from lit_adv.reproduction.zoo import find_weights, read_zoo
from lit_adv.shards import publish, storage
from lit_adv.shards.job import register_job

_TIMES_FILE = "seconds-a-pass.json"
_ZOO_FILE = "zoo.json"


class PaperRun:
    """A zoo, clean shards and an output folder.

    Args:
        zoo_file: The zoo's YAML file.
        weights: The folder of weights files, if there is one.
        wanted: The names of the tables and figures.
        shards: The clean shards.
        output: The folder for everything that is made.
        handed_on: Options for the jobs, each with its words.

    Raises:
        MendableError: If the zoo is malformed or weights are missing.
        ConfigMismatchError: If the folder belongs to other models.
    """

    def __init__(
        self,
        zoo_file: str,
        weights: str | None,
        wanted: Sequence[str],
        shards: str | list[str],
        output: Path,
        handed_on: Sequence[Sequence[str]],
    ) -> None:
        self.name = Path(zoo_file).stem
        self.zoo, weights_digests, self.left_out = find_weights(read_zoo(zoo_file), weights, "table3" in wanted)
        self.wanted = wanted
        self.shards = shards
        self.output = output
        self.folder = Folder(output.resolve(), handed_on, weights_digests)
        self.planner = Planner(self.zoo, shards, output.resolve(), f"paper-{self.name}-{output.resolve().name}")
        publish.prepare_folder(str(output))
        register_job(str(output), self._record(weights_digests), _ZOO_FILE)

    def make(self, main: Main, *, rule: str, most: int | None, parallel: int, only_plan: bool) -> None:
        """Make tables and figures.

        Args:
            main: Runs the arguments behind ``lit-adv``.
            rule: Which images are attacked; see :func:`lit_adv.reproduction.selection.choose`.
            most: Only the first so many of them.
            parallel: How many jobs run at once.
            only_plan: Whether to end once the plan is shown.

        Raises:
            SystemExit: With status 75 if the run was asked to stop, or waits for the shards of other machines.
            MendableError: If jobs have failed; what does not need them is written.
        """
        before = [self.planner.selection()] if rule == "correct" else []
        jobs = self.planner.jobs(self.wanted)
        self._show_plan([*before, *jobs], most)
        if only_plan:
            return
        runner = Runner(main, self.folder, parallel, lambda text: print(text, flush=True))
        if failed := runner.run(before):
            raise MendableError(failed)
        record = choose(self.shards, self.folder.path / SELECTION, rule, most)
        print(f"images: {describe(record)}", flush=True)
        failed = runner.run(jobs)
        complete = [name for name in self.wanted if all(map(self.folder.done, self.planner.jobs([name])))]
        if complete:
            print(f"tables and figures: {self._write(record, complete)}")
        if failed:
            raise MendableError(failed)
        waiting = [job.name for job in jobs if not self.folder.done(job)]
        if waiting and "job" not in dict(self.folder.typed("data")):
            raise MendableError(
                f"{waiting[0]} holds what other settings made; choose another folder, or delete it there"
            )
        if waiting:
            print(
                f"{len(waiting)} jobs ({waiting[0]}, ...) wait for shards that other machines make; run this again "
                "when they are made"
            )
            raise SystemExit(EXIT_STATUS)

    def _write(self, record: Mapping[str, Any], complete: Sequence[str]) -> Path:
        title = f"Nesterov and scale invariance (Lin et al., ICLR 2020) with the models of {self.name}"
        notes = [f"{name} is left out: there is no {lacking}." for name, lacking in self.left_out.items()]
        if typed := dict(self.folder.typed("model")):
            given = ", ".join(f"{name} {value}" for name, value in typed.items())
            notes.append(f"Settings that were given for all attacks: {given}.")
        book = Book(self.planner, self.folder.path, record, title, notes)
        page = book.write(complete)
        if dict(self.folder.typed("trainer")).get("logger") is not False:
            log_book(self.planner.group, str(self.folder.path / "logs"), book.tables, book.pictures)
        return page

    def _show_plan(self, jobs: Sequence[Job], most: int | None) -> None:
        for job in jobs:
            self.folder.write_config(job)
        chosen = read_selection(self.output / SELECTION)
        images = count_samples(self.shards) if chosen is None else chosen["images"]
        if chosen is None and most is not None:
            images = min(images, most)
        for name, lacking in self.left_out.items():
            print(f"{name} is left out: there is no {lacking}")
        done = {job.name for job in jobs if self.folder.done(job)}
        times = self._measure([job for job in jobs if job.name not in done])
        print(show_plan(jobs, done, self.folder, images, times), flush=True)

    def _measure(self, jobs: Sequence[Job]) -> dict[str, float]:
        """Return the seconds of a pass for an image by spec, measured for those models that were not yet."""
        file = self.folder.path / _TIMES_FILE
        known: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
        unknown = sorted({spec for job in jobs for spec in job.cost} - known.keys())
        if unknown:
            print(f"measuring how long a pass of {len(unknown)} models takes", flush=True)
            typed = dict(self.folder.typed("data")), dict(self.folder.typed("trainer"))
            size, accelerator = typed[0].get("image_size", self.zoo.image_size), typed[1].get("accelerator", "auto")
            start_function(measure_passes, unknown, size, accelerator, str(file)).join()
            known = json.loads(file.read_text()) if file.is_file() else known
        return known

    def _record(self, digests: dict[str, str]) -> dict[str, Any]:
        """Return what must stay the same in an output folder."""
        specs = self.zoo.models
        file = self.output / _ZOO_FILE
        recorded = storage.read_json(str(file)).get("weights", {}) if file.is_file() else {}
        return {
            "image_size": self.zoo.image_size,
            "models": specs,
            "alone": self.zoo.alone,
            "together": self.zoo.together,
            "surrogates": self.zoo.surrogates,
            "ensemble": self.zoo.ensemble,
            "targets": self.zoo.targets,
            "attack_options": self.zoo.attack_options,
            "weights": {
                # Folders of before have sizes, and go on.
                path: Path(path).stat().st_size if isinstance(recorded.get(path), int) else digest
                for path, digest in digests.items()
                if any(path in spec for spec in specs.values())
            },
        }
