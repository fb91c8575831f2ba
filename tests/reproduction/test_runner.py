"""Running jobs: in order, several at once, and what becomes of the others when one fails or is stopped."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from lit_adv.errors import EXIT_STATUS, PreemptedError
from lit_adv.reproduction.jobs import Folder, Job
from lit_adv.reproduction.runner import Runner


def pretend(arguments: Sequence[str]) -> int:
    """Do what a job's configuration says: end with a status, or wait until another job has begun."""
    settings = yaml.safe_load(Path(arguments[2]).read_text())["model"]
    folder = Path(settings["folder"])
    folder.mkdir(parents=True)
    for other in settings["meets"]:
        while not (folder.parent / other).exists():
            time.sleep(0.05)
    if settings["status"]:
        print(f"{folder.name} has its reasons")
    return int(settings["status"])


def job(folder: Path, name: str, *needs: str, status: int = 0, meets: Sequence[str] = ()) -> Job:
    shards = folder / "clean.tar"
    shards.touch()
    model = {"folder": str(folder / name), "status": status, "meets": list(meets)}
    return Job(name, "clean", {"model": model, "data": {"shards": str(shards)}}, needs=needs)


@pytest.fixture
def said() -> list[str]:
    return []


def run(path: Path, jobs: Sequence[Job], said: list[str], parallel: int = 1) -> str | None:
    return Runner(pretend, Folder(path, [], {}), parallel, said.append).run(jobs)


def test_jobs_run_once_behind_those_that_they_need(tmp_path: Path, said: list[str]) -> None:
    jobs = [job(tmp_path, "a"), job(tmp_path, "b", "a"), job(tmp_path, "c", "a", "b")]
    assert run(tmp_path, jobs, said) is None
    assert [text.split(":")[0] for text in said] == ["a", "b", "c"]
    assert said[0].endswith("2 to go")
    assert run(tmp_path, jobs, said) is None
    assert len(said) == 3  # nothing was left to do


def test_jobs_run_at_the_same_time(tmp_path: Path, said: list[str]) -> None:
    jobs = [job(tmp_path, "a", meets=["b"]), job(tmp_path, "b", meets=["a"])]  # each waits for the other
    assert run(tmp_path, jobs, said, parallel=2) is None


def test_a_failed_job_keeps_those_that_need_it_and_no_others(tmp_path: Path, said: list[str]) -> None:
    jobs = [job(tmp_path, "a", status=3), job(tmp_path, "b", "a"), job(tmp_path, "c")]
    explained = run(tmp_path, jobs, said)
    assert explained is not None
    assert explained.startswith(f"failed jobs: 1\n  a ({tmp_path}/jobs/a.log):")
    assert "a has its reasons" in explained
    assert explained.endswith("jobs that need them and have not run: 1")
    assert (tmp_path / "c").exists()
    assert not (tmp_path / "b").exists()


def test_a_job_that_was_asked_to_stop_stops_all(tmp_path: Path, said: list[str]) -> None:
    endless = job(tmp_path, "a", meets=["nobody"])
    jobs = [endless, job(tmp_path, "b", status=EXIT_STATUS), job(tmp_path, "c")]
    with pytest.raises(PreemptedError) as error:
        run(tmp_path, jobs, said, parallel=2)
    assert error.value.code == 75
    assert not (tmp_path / "c").exists()
    assert said[-1].startswith("asked to stop: what is done is kept")
