"""The frontier: every schedule is measured once, and compared image by image."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import frontier
from benchmarks._frontier_report import Cell, Result
from benchmarks._frontier_schedules import DEFAULT, parse_schedule
from lit_adv.attacks import describe_attack
from lit_adv.models import to_float
from tests.models_of_tests import other_linear
from tests.tiny_shards import sample_files, tar_bytes

MODELS = {"lite0": "linear", "lite1": "other_linear", "squeezenet": "linear"}
SIDE = 32
DEFENDED = "mi_fgsm"
SCHEDULES = ("si_ni_ti_dim", "mi_fgsm", "m3-kd2-t4-p1-a1.5")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A measurement of 24 random images, in two shards, on tiny networks, of which lite1 is always right."""
    monkeypatch.setattr(frontier, "ZOO", {name: f"import:tests.models_of_tests:{f}" for name, f in MODELS.items()})
    (tmp_path / "clean").mkdir()
    shards = {tmp_path / f"clean/{number}.tar": sample_files(12, first=12 * number) for number in range(2)}
    for shard, files in shards.items():
        shard.write_bytes(tar_bytes(files))
    images = frontier.read_images(tmp_path / "clean", SIDE, None)
    labels = dict(zip(images.keys, other_linear()(to_float(images.pixels)).argmax(1).tolist(), strict=True))
    for shard, files in shards.items():
        shard.write_bytes(
            tar_bytes(files | {f"{key}.cls": b"%d" % labels[key] for key in labels if f"{key}.cls" in files})
        )
    options = f"--images {tmp_path}/clean --output {tmp_path}/out --size {SIDE} --batch-size 8 --device cpu --eps 16"
    return [*options.split(), "--surrogates", "squeezenet", "--schedules", *SCHEDULES, "--defended", DEFENDED]


def records(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.json") if not path.name.startswith("clean.")}


def test_what_is_there_is_not_made_again(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    frontier.main([*command, "--time-limit", "0"])
    assert "6 left" in capsys.readouterr().out
    assert not records(tmp_path / "out")
    frontier.main([*command, "--half", "first"])
    made = records(tmp_path / "out")
    assert len(made) == len(SCHEDULES)
    frontier.main(command)
    assert len(records(tmp_path / "out")) == 2 * len(SCHEDULES)
    assert made.items() <= records(tmp_path / "out").items()
    frontier.main(command)
    assert capsys.readouterr().out.count("judged") == 2 * len(SCHEDULES)


@given(count=st.integers(1, 300), limit=st.integers(1, 400))
def test_a_limit_leaves_each_image_in_its_half(count: int, limit: int) -> None:
    chosen = frontier.choose_positions(count, limit)
    assert len(set(chosen)) == len(chosen) == min(count, limit)
    assert all(position % 2 == number % 2 for number, position in enumerate(chosen))
    assert chosen == sorted(chosen)
    assert max(chosen) < count
    assert np.diff([-1, *chosen, count]).max() <= count / len(chosen) + 2  # they come from all over


def test_another_target_is_added_to_what_is_there(command: list[str], tmp_path: Path) -> None:
    one = [*command, "--half", "first", "--defenses"]
    frontier.main([*one, "rp"])
    frontier.main([*one, "fd"])
    record = json.loads((tmp_path / f"out/{DEFENDED}.squeezenet.16.first.json").read_text())
    assert record["fooled"].keys() == {"lite0", "lite1", "rp", "fd"}


def test_what_was_made_in_another_precision_or_with_other_settings_is_not_replaced(
    command: list[str], tmp_path: Path
) -> None:
    first = [*command, "--half", "first", "--schedules"]
    frontier.main([*first, 'own={"steps": 2}', "--precision", "32-true"])
    made = records(tmp_path / "out")
    with pytest.raises(
        SystemExit, match=r"own\.squeezenet\.16\.first\.json was made with other settings, or in 32-true: give"
    ):
        frontier.main([*first, 'own={"steps": 2}', "--precision", "bf16-mixed"])
    with pytest.raises(SystemExit, match="was made with other settings"):
        frontier.main([*first, 'own={"steps": 3}', "--precision", "32-true"])
    assert records(tmp_path / "out") == made


def test_a_report_does_not_mix_settings_under_one_name(command: list[str], tmp_path: Path) -> None:
    frontier.main([*command, "--half", "first", "--schedules", "si_ni_ti_dim", 'own={"steps": 2}'])
    frontier.main([*command, "--half", "first", "--schedules", 'own={"steps": 3}', "--eps", "8"])
    with pytest.raises(SystemExit, match="out has records of own with different settings"):
        frontier.main(["--output", str(tmp_path / "out"), "--report", "--half", "first"])
    with pytest.raises(SystemExit, match="out has no records of the second half: name the other one with --half"):
        frontier.main(["--output", str(tmp_path / "out"), "--report"])


def test_images_of_another_size_are_refused(command: list[str]) -> None:
    frontier.main(command)
    with pytest.raises(SystemExit, match="of another size"):
        frontier.main([*command, "--size", str(SIDE * 2)])


def test_a_record_holds_each_image_and_target_and_the_attacks_settings(command: list[str], tmp_path: Path) -> None:
    frontier.main(command)
    record = json.loads((tmp_path / "out/mi_fgsm.squeezenet.16.first.json").read_text())
    assert record["settings"] == describe_attack("mi_fgsm", eps=16 / 255)
    assert {target: len(text) for target, text in record["fooled"].items()} == dict.fromkeys(
        ["lite0", "lite1", "rp", "fd", "jpeg"], 12
    )
    record = json.loads((tmp_path / "out/m3-kd2-t4-p1-a1.5.squeezenet.16.second.json").read_text())
    assert record["passes"] == 8
    assert record["images_per_second"] > 0
    assert record["settings"]["step_size"] == 1.5 * 16 / 255 / 4
    assert record["fooled"].keys() == {"lite0", "lite1"}
    clean = json.loads((tmp_path / "out/clean.second.json").read_text())
    assert clean["keys"] == [f"{number:04d}" for number in range(1, 24, 2)]


def test_other_images_are_refused(command: list[str], tmp_path: Path) -> None:
    frontier.main([*command, "--limit", "6"])
    with pytest.raises(SystemExit, match="made of other images"):
        frontier.main(command)


def test_the_report_compares_every_schedule_with_the_papers(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    frontier.main(command)
    frontier.main(["--output", str(tmp_path / "out"), "--report"])
    text = capsys.readouterr().out
    for name in SCHEDULES:
        assert f"| `{name}` | " in text
    assert "| at most 10 | " in text
    assert (tmp_path / "out/frontier.md").read_text() in text
    assert (tmp_path / "out/frontier.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out/frontier.svg").read_text()


def test_the_first_half_chooses_what_both_are_to_confirm(command: list[str], tmp_path: Path) -> None:
    frontier.main([*command, "--half", "first"])
    frontier.main([*command, "--confirm", "10"])
    made = records(tmp_path / "out")
    confirmed = [name for name in made if name.endswith(".second.json")]
    assert "si_ni_ti_dim.squeezenet.16.second.json" in confirmed
    assert len(confirmed) == 2
    for name in confirmed:
        assert "rp" in json.loads(made[name])["fooled"]
        assert "rp" in json.loads(made[name.replace("second", "first")])["fooled"]


def test_a_difference_is_that_of_pairs_and_its_interval_the_normal_one() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = (Result(1, {}), Result(1, {}))
    cells = [Cell("a", 8, "b"), Cell("a", 16, "b")]
    for cell in cells:
        known = np.where(rng.random(200) < 0.8, 1.0, np.nan)
        ours.fooled[cell], theirs.fooled[cell] = (known * (rng.random(200) < share) for share in (0.7, 0.4))
    one = ours.against(theirs, cells[:1])
    paired = (ours.fooled[cells[0]] - theirs.fooled[cells[0]])[np.isfinite(ours.fooled[cells[0]])]
    assert one.value == pytest.approx(100 * paired.mean())
    assert one.margin == pytest.approx(196 * paired.std() / len(paired) ** 0.5)
    both = ours.against(theirs, cells)
    assert both.value == pytest.approx(ours.mean(cells) - theirs.mean(cells))
    assert both.margin < one.margin
    # The same image twice tells no more than once.
    ours.fooled[cells[1]], theirs.fooled[cells[1]] = ours.fooled[cells[0]], theirs.fooled[cells[0]]
    assert ours.against(theirs, cells).margin == pytest.approx(one.margin)


def test_every_default_schedule_is_another_attack() -> None:
    described = [json.dumps(describe_attack(s.attack, **s.settings(8))) for s in map(parse_schedule, DEFAULT)]
    assert len(set(described)) == len(DEFAULT)


@pytest.mark.parametrize("name", ["si_ni_ti_dimm", "m5-x3", "m5k1", "a1.5", ""])
def test_an_unknown_schedule_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"schedule '{name}' "):
        parse_schedule(name)
