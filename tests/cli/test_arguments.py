"""What is typed overrides what files say, wherever it stands; what would be lost is refused or said."""

from pathlib import Path

import pytest
import yaml

from lit_adv.cli.arguments import prepare
from lit_adv.cli.generate import GenerationCLI
from lit_adv.errors import MendableError

SHARDS = ("--data.shards=in", "--output.path=out")


def resolved(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    """Return the configuration that a command line comes to."""
    with pytest.raises(SystemExit) as end:
        GenerationCLI([*arguments, *SHARDS, "--print_config"])
    assert end.value.code == 0
    config: dict[str, dict[str, object]] = yaml.safe_load(capsys.readouterr().out)
    return config


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {attack: mi_fgsm, attack_options: {eps: 8/255, seed: 3}}\ndata: {batch_size: 5}\n")
    return str(path)


def test_what_is_typed_before_a_file_overrides_it(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["--model.attack", "fgsm", "--config", file], ["--config", file, "--model.attack", "fgsm"]):
        config = resolved(typed, capsys)
        assert (config["model"]["attack"], config["data"]["batch_size"]) == ("fgsm", 5)


def test_a_later_file_overrides_an_earlier_one(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.yaml").write_text("data: {batch_size: 7}\n")
    config = resolved(["-c", file, "--data.num_workers=2", f"--config={tmp_path}/other.yaml"], capsys)
    assert (config["model"]["attack"], config["data"]["batch_size"]) == ("mi_fgsm", 7)


def test_a_word_behind_a_file_is_refused_as_it_would_be_lost(file: str) -> None:
    for typed in (["--config", file, "other.yaml"], [f"--config={file}", "other.yaml"], ["--config", file, file + "s"]):
        with pytest.raises(MendableError, match=r"--config takes one file, .*mine\.yaml, and .* belongs to no option"):
            prepare(typed, "generate")
    assert prepare(["--config", file, "--config", file], "generate") == [f"--config={file}"] * 2


def test_a_dictionary_that_would_drop_an_entry_typed_before_it_is_refused_with_the_remedy() -> None:
    typed = ["--model.attack_options.eps", "8/255", "--model.attack_options", "{steps: 2}"]
    with pytest.raises(MendableError, match=r"would replace --model\.attack_options\.eps.*put --model\.attack_options"):
        prepare(typed, "generate")


def test_the_same_the_other_way_round_means_both(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--model.attack_options", "{steps: 2}", "--model.attack_options.eps", "4/255"]
    assert resolved(typed, capsys)["model"]["attack_options"] == {"steps": 2, "eps": "4/255"}


def test_entries_of_a_file_that_a_typed_dictionary_replaces_are_named(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(["--config", file, "--model.attack_options", "{eps: 4/255}"], "generate")
    said = capsys.readouterr().err
    assert "--model.attack_options replaces all that mine.yaml says there, seed too" in said
    prepare(["--config", file, "--model.attack_options", "{eps: 4/255, seed: 1}"], "generate")
    assert capsys.readouterr().err == ""


def test_lists_and_negative_numbers_stay_with_their_option() -> None:
    typed = ["--a", "1", "2", "--b", "-3", "--flag", "--config", "si_ni_ti_dim"]
    first, *others = prepare(typed, "generate")
    assert first.endswith("configs/generate/si_ni_ti_dim.yaml")
    assert others == ["--a", "1", "2", "--b", "-3", "--flag"]
