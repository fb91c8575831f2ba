"""What ``pip install .`` brings is whole: the command, the configurations and the data files, away from the clone."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tiny_shards import image_file

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of this package holds, as an installation has it."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: setuptools builds within the tree, and would take along what an earlier build has left there.
    copy = folder / "clone"
    for name in ("lit_adv", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt", "requirements-demo.txt"):
        shutil.copy(ROOT / name, copy)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        ".",
        "./clone",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """Call the command as the console script does, in a folder away from the clone."""
    script = (
        f"import sys; sys.path[0] = {str(installed)!r}\n"
        f"import lit_adv; assert lit_adv.__file__.startswith({str(installed)!r}), lit_adv.__file__\n"
        "from lit_adv.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_and_data_file_is_in_the_wheel(installed: Path) -> None:
    missing = [
        path.relative_to(ROOT)
        for path in [*(ROOT / "lit_adv").rglob("*"), *(ROOT / "configs").rglob("*.yaml")]
        if path.suffix in (".py", ".csv", ".typed", ".yaml", ".html", ".css", ".js")
        and not (installed / path.relative_to(ROOT)).exists()
        and not (installed / "lit_adv" / path.relative_to(ROOT)).exists()
    ]
    assert missing == []


def test_the_command_is_there_and_knows_the_configurations(installed: Path, tmp_path: Path) -> None:
    [entry_points] = installed.glob("*.dist-info/entry_points.txt")
    assert "lit-adv = lit_adv.cli.main:main" in entry_points.read_text()
    for number in range(2):
        (tmp_path / f"images/{number}").mkdir(parents=True)
        (tmp_path / f"images/{number}/a.jpg").write_bytes(image_file(number))
    assert "1 shards" in run(installed, tmp_path, "pack", "images", "shards")
    settings = run(installed, tmp_path, "generate", "--config", "si_ni_ti_dim", "--data.shards", "shards",
                   "--output.path", "out", "--print_config")  # fmt: skip
    assert "attack: si_ni_ti_dim" in settings
