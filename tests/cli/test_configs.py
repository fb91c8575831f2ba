"""Configurations by name: the package's own, unless there is a file of that name."""

from pathlib import Path

import pytest

from lit_adv.cli.configs import find_config
from lit_adv.errors import MendableError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["ensemble", "ensemble.yaml"])
@pytest.mark.parametrize("kind", ["generate", "train"])
def test_a_name_means_the_command_s_own_file(name: str, kind: str) -> None:
    assert Path(find_config(name, kind)) == ROOT / "configs" / kind / "ensemble.yaml"


def test_a_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ensemble").write_text("{}")
    assert find_config("ensemble", "train") == "ensemble"
    assert find_config("s3://bucket/ensemble.yaml", "train") == "s3://bucket/ensemble.yaml"


def test_a_folder_of_that_name_is_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("paper").mkdir()  # where a run has put its results, say
    assert Path(find_config("paper", "zoos")) == ROOT / "configs/zoos/paper.yaml"
    Path("results").mkdir()
    with pytest.raises(MendableError, match="there is no file results"):
        find_config("results", "zoos")


def test_an_unknown_name_is_answered_with_all_names() -> None:
    with pytest.raises(MendableError, match=r"there are: ensemble, si_ni_ti_dim$"):
        find_config("si_ni_ti_din", "generate")
