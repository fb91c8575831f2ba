"""The front door: which commands there are, and that each is started without what it does not need."""

import subprocess
import sys
from pathlib import Path

import pytest

import lit_adv
from lit_adv.cli.main import COMMANDS, main, run
from lit_adv.errors import MendableError

ROOT = Path(lit_adv.__file__).parents[1]
HEAVY = ("torch", "lightning", "timm", "wandb", "torchvision", "webdataset")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_all_are_listed_with_a_line_each(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name:<8}" in said
        assert command.summary in said


def test_the_versions_that_matter_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["lit_adv", "python", "torch", "lightning", "timm", "webdataset", "device"]
    assert lines[0] == f"lit_adv {lit_adv.__version__}"


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    with pytest.raises(MendableError, match="no command 'verfy'; did you mean 'verify'"):
        run(["verfy"])


def test_a_script_offers_its_own_commands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    main([], commands=("fit", "test"), prog="train_adv.py")
    said = capsys.readouterr().out
    assert "usage: train_adv.py COMMAND" in said
    assert "generate" not in said.replace("lit_adv", "")
    with pytest.raises(MendableError, match="no command 'pack'"):
        run(["pack"], commands=("fit", "test"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["pack", "--help"], ["verify", "--help"], ["pack", "{}/images", "{}/out"], ["verify", "{}/out"]],
)
def test_commands_that_look_at_files_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from lit_adv.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    typed = [argument.format(tmp_path) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", script, *typed], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["generate", "test", "fit", "validate"])
def test_help_says_what_the_command_does_and_has_its_own_settings_before_lightning_s(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: lit-adv {command} ")
    assert "Customize every aspect" not in said
    own = "report" if command == "test" else "output"
    groups = [said.index(f"\n  --{group}") for group in ("model", "data CONFIG", f"{own} CONFIG", "trainer CONFIG")]
    assert groups == sorted(groups)
