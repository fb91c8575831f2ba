"""``lit-adv status`` as a user types it."""

import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from lit_adv.cli.main import run as main
from lit_adv.errors import MendableError
from lit_adv.shards.failures import record_failure
from tests import tiny_job, tiny_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("status")
    (folder / "in").mkdir()
    for number in range(2):
        (folder / f"in/s{number}.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(3, first=9 * number)))
    tiny_job.generate(str(folder / "in"), str(folder / "out"))
    return folder / "out"


@pytest.fixture
def half(finished: Path, tmp_path: Path) -> Path:
    """The same before its second shard was done."""
    shutil.copytree(finished, tmp_path / "half")
    for name in ("s1.json", "s1.tar", "manifest.json", "_info.json"):
        (tmp_path / "half" / name).unlink()
    return tmp_path / "half"


def test_it_says_how_far_a_job_is(half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(half)]) == 0
    said = capsys.readouterr().out
    assert "shards    1 of 2 done, 0 failed, 1 missing\n" in said
    assert "images    3 adversarial, 0 skipped\n" in said
    assert re.search(r"^latest    s0, \d+ (s|min)", said, re.MULTILINE)


def test_it_makes_a_page(half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    main(["status", str(half), "--html", str(page)])
    assert f"page      {page}\n" in capsys.readouterr().out
    assert "1 of 2 shards are done" in page.read_text()
    assert 'http-equiv="refresh"' not in page.read_text()


def test_it_watches_until_all_is_done(half: Path, finished: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "lit_adv", "status", str(half), "--watch", "0.2", "--html", str(page)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = [process.stdout.readline()]
            assert said == ["shards    1 of 2 done, 0 failed, 1 missing\n"]
            while not process.stdout.readline().startswith("page"):
                pass
            assert 'http-equiv="refresh" content="0.2"' in page.read_text()
            for name in ("s1.tar", "s1.json"):
                shutil.copy(finished / name, half / name)
            rest = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert "shards    2 of 2 done, 0 failed, 0 missing\n" in rest
    assert process.returncode == 0
    assert "refresh" not in page.read_text()


def test_ctrl_c_ends_watching_quietly(half: Path) -> None:
    command = [sys.executable, "-m", "lit_adv", "status", str(half), "--watch", "0.2"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs in the background of a script ignore it
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, complaints) == (130, "")


def test_watching_ends_where_only_failed_shards_are_left(half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_failure(str(half), "s1", "it is cut off")
    assert main(["status", str(half), "--watch"]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 done, 1 failed, 0 missing" in said
    assert "left      none but what failed, which the same command tries again\n" in said


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "is not the folder of a run"),
        (["config.yaml"], "shows nothing yet"),
        (["notes.txt"], "is not the folder"),
        (["clean.json", "config.yaml"], "has the clean accuracy of models, which is all counted: see clean.json"),
    ],
)
def test_a_folder_without_a_run_is_refused(names: list[str], says: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(MendableError, match=says):
        main(["status", str(tmp_path)])


@pytest.mark.parametrize("content", ["[1]", "{", "null"])
def test_a_damaged_record_ends_in_a_message(content: str, half: Path) -> None:
    (half / "job.json").write_text(content)
    with pytest.raises(MendableError):
        main(["status", str(half)])


def test_it_takes_no_torch(half: Path) -> None:
    script = (
        "import sys; from lit_adv.cli.main import run\n"
        f"run(['status', {str(half)!r}])\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, capture_output=True)
