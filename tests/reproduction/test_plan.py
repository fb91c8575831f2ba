"""The plan: which jobs make which table, and what is left to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_adv.attacks import describe_attack
from lit_adv.errors import MendableError
from lit_adv.reproduction.experiments import EVERYTHING
from lit_adv.reproduction.jobs import INPUTS_FILE, Folder, Job
from lit_adv.reproduction.plan import Planner, seconds_of, show_plan

TYPED = [["--data.batch_size", "4"], ["--data.image_size=24"], ["--data.job", "0/2"], ["--model.compile", "true"]]


def named(jobs: list[Job]) -> dict[str, Job]:
    return {job.name: job for job in jobs}


def test_a_table_takes_an_attack_a_surrogate_and_one_evaluation(planner: Planner) -> None:
    jobs = planner.jobs(["table1a"])
    assert [job.name for job in jobs] == [
        *("images/Inc-v3/tim", "images/Inc-v3/si_ni_tim", "images/Res-101/tim", "images/Res-101/si_ni_tim"),
        "results/table1a",
    ]
    assert jobs[-1].needs == tuple(job.name for job in jobs[:-1])
    assert [target["name"] for target in jobs[-1].settings["model"]["targets"]] == ["Inc-v3", "Res-101", "IncRes-v2ens"]
    # An attack on Inc-v3 alone sees what the zoo says.
    assert jobs[0].settings["model"]["surrogate"] == ["import:one:alone"]


def test_the_ensemble_s_images_serve_tables_2_and_3_and_figure_3(planner: Planner) -> None:
    made = [job.name for job in planner.jobs(["table2", "table3", "figure3"]) if job.command == "generate"]
    assert len(made) == len(set(made)) == 7
    assert named(planner.jobs(["table3"]))["results/table3/R&P"].needs[-1] == "images/ensemble/si_ni_ti_dim"
    job = named(planner.jobs(["figure3"]))["images/ensemble/si_ni_ti_dim"]
    assert job.settings["model"]["surrogate"] == ["import:one:build", "import:two:build"]


def test_figure_2_shares_its_usual_number_of_iterations_with_table_4(planner: Planner) -> None:
    four, two = (named(planner.jobs([name])) for name in ("table4", "figure2"))
    assert four.keys() & two.keys() == {"images/Inc-v3/ni_fgsm"}
    assert two["images/Inc-v3/mi_fgsm-4"].settings["model"]["attack_options"] == {"steps": 4}


def test_passes_are_steps_times_copies_and_the_zoo_has_its_say(planner: Planner) -> None:
    passes = {job.name.split("/")[-1]: job.passes for job in planner.jobs(["table4", "table2"])}
    assert {
        "fgsm": 1,
        "pgd": 10,
        "cw": 14,
        "ni_fgsm": 10,
        "si_ni_fgsm": 50,
        "si_ni_ti_dim": 50,
    }.items() <= passes.items()


def test_an_attack_that_sees_some_copies_a_step_takes_the_passes_of_these(planner: Planner) -> None:
    planner.zoo.attack_options["si_ni_fgsm"] = {"steps": 20, "copies_a_step": 2}
    assert named(planner.jobs(["table4"]))["images/Inc-v3/si_ni_fgsm"].passes == 40


def test_the_time_is_that_of_the_passes_of_every_member(planner: Planner) -> None:
    job = named(planner.jobs(["table2"]))["images/ensemble/si_ni_dim"]
    seconds = seconds_of(job, 100, {"import:one:build": 0.01, "import:two:build": 0.03})
    assert seconds == pytest.approx(100 * 50 * 0.04, rel=0.05)


def test_everything_together_has_each_job_once_behind_those_that_it_needs(planner: Planner) -> None:
    jobs = planner.jobs(EVERYTHING)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    for number, job in enumerate(jobs):
        assert set(job.needs) <= set(names[:number])


def test_each_command_gets_the_options_that_it_knows(planner: Planner, tmp_path: Path) -> None:
    jobs = named(planner.jobs(["table1a", "figure1"]))
    folder = Folder(tmp_path / "out", [*TYPED, ["--trainer.devices", "2"]], {})
    config = f"--config {tmp_path}/out/jobs"
    assert folder.command(jobs["images/Inc-v3/tim"]) == (
        f"lit-adv generate {config}/images.Inc-v3.tim.yaml --data.batch_size 4 --data.image_size=24 --data.job 0/2 "
        "--model.compile true --trainer.devices 2"
    )
    assert folder.command(jobs["results/table1a"]) == (
        f"lit-adv test {config}/results.table1a.yaml --data.batch_size 4 --trainer.devices 2"
    )
    assert folder.command(jobs["results/figure1"]) == (
        f"lit-adv clean {config}/results.figure1.yaml --data.batch_size 4 --data.image_size=24 --trainer.devices 2"
    )


def test_an_evaluation_gets_the_report_s_options_and_runs_again_with_others(planner: Planner, tmp_path: Path) -> None:
    """Such as those that keep private images out of the report."""
    *made, job = planner.jobs(["table4"])
    for each in made:
        manifest(tmp_path / "out" / each.name, each.settings["model"]["attack"])
    (tmp_path / "out" / job.name).mkdir(parents=True)
    Folder(tmp_path / "out", [], {}).finish(job)
    private = Folder(tmp_path / "out", [["--report.gallery", "0"]], {})
    assert private.command(job).endswith("results.table4.yaml --report.gallery 0")
    assert not private.done(job)
    private.finish(job)
    assert private.done(job)


@pytest.mark.parametrize("option", ["--data.batch_sise=4", "--data.shuffle_buffer", "--report", "--modell.attack"])
def test_an_option_that_no_job_takes_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(MendableError, match=rf"no job takes {option.partition('=')[0]}: .*--data.batch_size"):
        Folder(tmp_path, [[option, "4"]], {})


def manifest(folder: Path, attack: str, **changes: Any) -> None:
    """Write what generation records of a job on Inc-v3."""
    config = {
        "model": {
            "surrogate": {"import:one:alone": "digest"},
            "attack": attack,
            "attack_options": describe_attack(attack),
            "compile": False,
        },
        "data": {"image_size": 16, "batch_size": 16},
        "precision": "32-true",
    }
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value  # type: ignore[dict-item]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"config": config}))


@pytest.mark.parametrize(
    ("changes", "typed", "done"),
    [
        ({}, [], True),
        ({"data": {"image_size": 24, "batch_size": 4}, "model": {"compile": True}}, TYPED, True),
        (
            {"model": {"attack_options": describe_attack("tim", eps="8/255")}},
            [["--model.attack_options.eps=8/255"]],
            True,
        ),
        ({}, [["--data.batch_size", "4"]], False),
        ({}, [["--trainer.precision", "32"]], True),
        ({}, [["--trainer.precision", "bf16-mixed"]], False),
        ({}, [["--model.compile", "true"]], False),
        ({}, [["--model.attack_options", "{eps: 8/255}"]], False),
        ({"model": {"surrogate": {"import:one:build": "digest"}}}, [], False),
        ({"model": {"attack": "dim"}}, [], False),
        ({"data": {"image_size": 24}}, [], False),
    ],
)
def test_a_generation_is_done_if_its_manifest_records_what_is_wanted(
    planner: Planner, tmp_path: Path, changes: dict[str, Any], typed: list[list[str]], done: bool
) -> None:
    job = planner.jobs(["table1a"])[0]
    folder = Folder(tmp_path / "out", typed, {})
    assert not folder.done(job)
    manifest(tmp_path / "out" / job.name, "tim", **changes)
    assert folder.done(job) == done


@pytest.mark.parametrize("turned", [False, True])
def test_the_members_of_an_ensemble_stand_in_their_order_in_a_manifest(
    planner: Planner, tmp_path: Path, turned: bool
) -> None:
    """Some attacks ask them in turn. The names of the weights stand in any order."""
    job = named(planner.jobs(["table2"]))["images/ensemble/tim"]
    members = job.settings["model"]["surrogate"]
    surrogate = dict.fromkeys(reversed(members), "digest")
    made = {"surrogate": surrogate, "members": members[::-1] if turned else members}
    manifest(tmp_path / "out" / job.name, "tim", model=made)
    assert Folder(tmp_path / "out", [], {}).done(job) == (not turned)


def test_an_evaluation_is_done_while_its_images_are_those_it_was_shown(planner: Planner, tmp_path: Path) -> None:
    *made, job = planner.jobs(["table4"])
    folder = Folder(tmp_path / "out", [], {})
    for number, each in enumerate(made):
        assert folder.inputs(job) is None
        manifest(tmp_path / "out" / each.name, each.settings["model"]["attack"], precision=str(number))
    (tmp_path / "out" / job.name).mkdir(parents=True)
    assert not folder.done(job)
    folder.finish(job)
    assert folder.done(job)
    (tmp_path / "out" / made[0].name / "manifest.json").write_text("{}")
    assert not folder.done(job)


def test_an_evaluation_is_not_done_with_other_weights(planner: Planner, tmp_path: Path) -> None:
    job = planner.selection()
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/a.tar").touch()
    (tmp_path / "out/selection").mkdir(parents=True)
    Folder(tmp_path / "out", [], {"three": "1"}).finish(job)
    assert (tmp_path / "out/selection" / INPUTS_FILE).is_file()
    assert Folder(tmp_path / "out", [["--trainer.devices", "2"]], {"three": "1"}).done(job)
    assert not Folder(tmp_path / "out", [], {"three": "2"}).done(job)
    assert not Folder(tmp_path / "out", [["--data.image_size", "24"]], {"three": "1"}).done(job)


def test_the_plan_says_what_is_done_and_what_is_to_do(planner: Planner, tmp_path: Path) -> None:
    jobs = planner.jobs(["table1a"])
    manifest(tmp_path / "out" / jobs[0].name, "tim")
    folder = Folder(tmp_path / "out", [], {})
    done = {job.name for job in jobs if folder.done(job)}
    *lines, last = show_plan(jobs, done, folder, 500, {"import:two:build": 0.06}).splitlines()
    assert lines[0].split()[0] == "done"
    assert lines[3].startswith("  25 min     50 passes  lit-adv generate --config")
    assert last.startswith("5 jobs of 500 images each, 1 done; 110 passes forward and backward for each image to go")
