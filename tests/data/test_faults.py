"""Each stage of generation is made to fail once. Every shard is whole or absent then, and the next run completes."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from lit_adv.shards import scratch, storage
from lit_adv.shards.verify import verify
from tests import tiny_job, tiny_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]

IO = OSError(errno.EIO, "Input/output error")
FULL = OSError(errno.ENOSPC, "No space left on device")


class Once:
    """A function that raises an error at its ``call``th call, before or after doing its work."""

    def __init__(self, function: Callable[..., Any], call: int, error: BaseException, after: bool) -> None:
        self.function, self.call, self.error, self.after = function, call, error, after
        self.calls = 0

    def install(self, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> "Once":
        """Take the function's place, as a plain function where it is a method."""
        monkeypatch.setattr(owner, name, lambda *arguments, **settings: self(*arguments, **settings))
        return self

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call the function, or fail."""
        self.calls += 1
        if self.calls == self.call and not self.after:
            raise self.error
        result = self.function(*arguments, **settings)
        if self.calls == self.call:
            raise self.error
        return result


def stages() -> Iterator[Any]:
    """Yield where, at which calls, before or after its effect, and with what a stage fails."""
    table: list[tuple[str, str, str, range, tuple[bool, ...], BaseException]] = [
        # stage, owner, function, calls; a run has two shards of 7 and 4 samples in batches of 3
        ("open", "lit_adv.data.reader", "staged", range(1, 3), (False,), IO),
        ("index", "lit_adv.data.reader", "index_samples", range(1, 3), (False,), MemoryError("out of memory")),
        ("read", "lit_adv.data.reader", "read_sample", range(1, 12, 5), (False,), IO),
        ("decode", "lit_adv.shards.decode", "_to_rgb", range(1, 12, 5), (False,), MemoryError("out of memory")),
        ("attack", "tiny_job.NoiseModule", "predict_step", range(1, 6), (False, True), RuntimeError("device lost")),
        ("attack out of memory", "tiny_job.NoiseModule", "predict_step", range(2, 3), (False,),
         torch.OutOfMemoryError("CUDA out of memory")),
        ("encode", "lit_adv.callbacks.output", "encode_image", range(1, 23, 7), (False,), MemoryError("out of memory")),
        ("scratch file", "lit_adv.shards.scratch", "scratch_file", range(1, 6), (False,), FULL),
        ("write", "lit_adv.shards.tar_writer.TarWriter", "write", range(1, 12, 5), (False, True), FULL),
        ("end of the tar", "lit_adv.shards.tar_writer.TarWriter", "close", range(1, 3), (False,), FULL),
        ("fsync", "os", "fsync", range(1, 15), (False, True), IO),
        ("publish", "pathlib.Path", "hardlink_to", range(1, 6), (False, True), IO),
        ("sidecar", "lit_adv.shards.publish", "create_exclusive", range(1, 4), (False, True), FULL),
        ("manifest", "pathlib.Path", "replace", range(1, 3), (False, True), FULL),
    ]  # fmt: skip
    for stage, owner, name, calls, moments, error in table:
        for call in calls:
            for after in moments:
                moment = "after" if after else "before"
                yield pytest.param(owner, name, call, after, error, id=f"{stage}-{moment}-call-{call}")


def resolve(name: str) -> Any:
    """Return a module or class by its dotted name."""
    if name.startswith("tiny_job."):
        return getattr(tiny_job, name.removeprefix("tiny_job."))
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        module, _, owner = name.rpartition(".")
        return getattr(__import__(module, fromlist=["_"]), owner)


def contents(url: str) -> dict[str, bytes]:
    """Return all files but the sidecars, which hold timings."""
    names = [name for name in sorted(storage.list_names(url)) if not name.startswith("shard-") or name.endswith(".tar")]
    return dict(zip(names, storage.read_bytes([storage.join(url, name) for name in names]), strict=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """Two input shards, and all that an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for number, samples in enumerate((7, 4)):
        content = tiny_shards.tar_bytes(tiny_shards.sample_files(samples, first=100 * number))
        (folder / f"shard-{number:06d}.tar").write_bytes(content)
    tiny_job.generate(str(folder), str(folder / "out"))
    return str(folder), contents(str(folder / "out"))


def fail_and_recover(run: Callable[[], Any], fault: Once, output: str, expected: dict[str, bytes]) -> None:
    """Let a run fail, look at what it left, and run again."""
    with pytest.raises(Exception, match=r".*") as raised:
        run()
    assert fault.calls >= fault.call
    assert str(fault.error) in "".join(map(str, (raised.value, raised.value.__cause__, raised.value.__context__)))
    if storage.list_names(output) - {".probe"}:
        report = verify(output)
        # A job record that was not written is no fault of a shard.
        assert [f for f in report.faults if f.name != "job.json"] == []
        assert not any(scratch.is_scratch(name) for name in storage.list_names(output))
    run()
    assert verify(output).complete
    assert contents(output) == expected


@pytest.mark.parametrize(("owner", "name", "call", "after", "error"), list(stages()))
def test_a_stage_that_fails_once_leaves_whole_shards_and_the_next_run_completes(
    owner: str, name: str, call: int, after: bool, error: BaseException,
    undisturbed: tuple[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shards, expected = undisturbed
    output = str(tmp_path / "out")
    place = resolve(owner)
    fault = Once(getattr(place, name), call, error, after).install(place, name, monkeypatch)
    fail_and_recover(lambda: tiny_job.generate(shards, output), fault, output, expected)


REMOTE = {"put_file": range(1, 3), "pipe_file": range(1, 6), "ls": range(1, 3), "cat_file": range(1, 4)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in REMOTE.items() for call in calls])
def test_a_remote_operation_that_fails_for_good_leaves_whole_shards_too(
    name: str, call: int, after: bool, undisturbed: tuple[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shards, expected = undisturbed
    output = f"memory:///faults/{name}-{call}-{after}"
    error = PermissionError("access denied")
    fault = Once(getattr(MemoryFileSystem, name), call, error, after).install(MemoryFileSystem, name, monkeypatch)
    fail_and_recover(lambda: tiny_job.generate(shards, output), fault, output, expected)
    fsspec.filesystem("memory").rm("/faults", recursive=True)


FULL_DISK = """
mount -t tmpfs -o size=64k tmpfs "$1" && "$3" "$4" "$2" "$1/out" -1
status=$?
cp -r "$1/out" "$5"
exit $status
"""
READ_ONLY = """
mount -t tmpfs tmpfs "$1" && cp -r "$5" "$1/out" && mount -o remount,ro "$1" && "$3" "$4" "$2" "$1/out" -1
status=$?
rm -r "$5"
cp -r "$1/out" "$5"
exit $status
"""


def generate_on_another_disk(script: str, shards: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the job on a disk that a shell script mounts at ``folder/disk``; its output is copied to ``folder/copy``."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:  # noqa: S607
        pytest.skip("needs the right to mount a small file system")
    (folder / "disk").mkdir()
    arguments = (f"{folder}/disk", shards, sys.executable, str(tiny_job.__file__), f"{folder}/copy")
    command = ["unshare", "-rm", "sh", "-c", script, "sh", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(storage.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)


def test_a_disk_that_is_really_full_is_named_and_what_is_whole_stays(
    undisturbed: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    shards, expected = undisturbed
    copy = tmp_path / "copy"
    done = generate_on_another_disk(FULL_DISK, shards, tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    report = verify(str(copy))
    assert report.faults == []
    assert report.whole == ["shard-000000"]
    tiny_job.generate(shards, str(copy))
    assert contents(str(copy)) == expected


def test_a_folder_that_is_read_only_is_named_with_the_remedy_and_nothing_in_it_is_lost(
    undisturbed: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    shards, expected = undisturbed
    copy = tmp_path / "copy"
    tiny_job.generate(shards, str(copy))
    for name in ("shard-000001.tar", "shard-000001.json", "manifest.json"):
        (copy / name).unlink()
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    done = generate_on_another_disk(READ_ONLY, shards, tmp_path)
    assert done.returncode == 1
    said = f"cannot write into the folder {tmp_path}/disk/out ([Errno {errno.EROFS}] Read-only file system"
    assert said in done.stderr
    assert "choose another or free this one" in done.stderr
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    tiny_job.generate(shards, str(copy))
    assert contents(str(copy)) == expected
