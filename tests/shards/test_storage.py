"""Storage, local and remote."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.arrow import ArrowFile, ArrowFSWrapper

from lit_adv.shards import publish, remote, scratch, storage


class StreamedFileSystem(ArrowFSWrapper):
    """Storage of files whose bytes stand under their names as they come, as on HDFS; here a local disk."""

    protocol = "streamed"

    def __init__(self, **settings: Any) -> None:
        super().__init__(pytest.importorskip("pyarrow.fs").LocalFileSystem(), **settings)


fsspec.register_implementation("streamed", StreamedFileSystem)


@pytest.fixture(params=["local", "memory", "streamed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An output folder, on disk, among objects, and among remote files."""
    places = {
        "local": str(tmp_path / "out [1]"),
        "memory": f"memory:///{uuid4().hex}",
        "streamed": f"streamed://{tmp_path}/remote",
    }
    url = places[request.param]
    publish.prepare_folder(url)
    yield url
    fsspec.filesystem("memory").store.clear()


def finished_file(folder: Path, content: bytes) -> str:
    path = folder / f"finished-{uuid4().hex}"
    path.write_bytes(content)
    return str(path)


def test_a_published_file_is_whole_and_leaves_no_trace(folder: str, tmp_path: Path) -> None:
    url = storage.join(folder, "a.tar")
    with scratch.scratch_file(folder, "a") as file:
        file.write(b"all")
        file.flush()
        assert "a.tar" not in storage.list_names(folder)
        publish.publish(file.name, url)
    assert storage.read_bytes([url]) == [b"all"]
    assert storage.list_names(folder) == {"a.tar"}


def test_the_same_bytes_may_be_published_twice_other_bytes_may_not(folder: str, tmp_path: Path) -> None:
    url = storage.join(folder, "a.tar")
    publish.publish(finished_file(tmp_path, b"one"), url)
    publish.publish(finished_file(tmp_path, b"one"), url)
    with pytest.raises(
        FileExistsError, match=r"a\.tar exists with other bytes than .*move it to another folder and run again"
    ):
        publish.publish(finished_file(tmp_path, b"two"), url)
    assert storage.read_bytes([url]) == [b"one"]


def test_an_upload_that_is_cut_short_leaves_nothing_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, content = f"streamed://{tmp_path}/out", b"0123456789" * 10**6
    publish.prepare_folder(folder)
    publish.replace(f"{folder}/c.json", b"former")
    made = finished_file(tmp_path, content)
    writes = {
        "a.tar": lambda: publish.publish(made, f"{folder}/a.tar"),
        "b.json": lambda: publish.create_exclusive(f"{folder}/b.json", content),
        "c.json": lambda: publish.replace(f"{folder}/c.json", content),
    }

    class Killed(BaseException):
        pass

    def cut(self: ArrowFile, data: bytes) -> int:
        self.stream.write(data[:1000])
        self.stream.flush()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ArrowFile, "write", cut)
        for write in writes.values():
            with pytest.raises(Killed):
                write()
    assert storage.list_names(folder) == {"c.json"}
    assert storage.read_bytes([f"{folder}/c.json"]) == [b"former"]
    for write in writes.values():
        write()
    assert storage.list_names(folder) == set(writes)
    assert storage.read_bytes([f"{folder}/{name}" for name in writes]) == [content] * 3


@pytest.mark.parametrize("moves_onto_others", [False, True])
def test_a_file_is_replaced_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves_onto_others: bool) -> None:
    """A connection that is lost before, within or after the move leaves the old file or the new one."""
    url = f"streamed://{tmp_path}/out/c.json"
    publish.prepare_folder(f"streamed://{tmp_path}/out")
    publish.replace(url, b"former")
    move, lost = StreamedFileSystem.mv, []

    def mv(self: StreamedFileSystem, source: str, target: str, **options: Any) -> None:
        if not moves_onto_others and self.exists(target):
            raise OSError("Failure")  # as old SFTP servers say
        if not lost:
            lost.append(target)
            raise ConnectionResetError("lost")
        move(self, source, target, **options)

    monkeypatch.setattr(StreamedFileSystem, "mv", mv)
    publish.replace(url, b"latter")
    assert storage.read_bytes([url]) == [b"latter"]
    assert lost


def test_a_move_that_fails_leaves_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"streamed://{tmp_path}/out"
    publish.prepare_folder(folder)

    def refuse(self: StreamedFileSystem, source: str, target: str, **options: Any) -> None:
        raise PermissionError(1, "Operation not permitted", target)

    monkeypatch.setattr(StreamedFileSystem, "mv", refuse)
    with pytest.raises(OSError, match="cannot create"):
        publish.create_exclusive(f"{folder}/a.json", b"all")
    assert not storage.list_names(folder)


def test_a_lost_connection_is_not_taken_for_a_free_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"streamed://{tmp_path}/out/a.json"
    publish.prepare_folder(f"streamed://{tmp_path}/out")
    publish.create_exclusive(url, b"first")
    info, lost = StreamedFileSystem.info, []

    def hiccup(self: StreamedFileSystem, path: str, **options: Any) -> Any:
        if path.endswith("/a.json") and not lost:
            lost.append(path)
            raise ConnectionResetError("lost")
        return info(self, path, **options)

    monkeypatch.setattr(StreamedFileSystem, "info", hiccup)
    with pytest.raises(FileExistsError):
        publish.create_exclusive(url, b"second")
    assert lost
    assert storage.read_bytes([url]) == [b"first"]


def test_publishing_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    url = str(tmp_path / "a.tar")
    publish.publish(finished_file(tmp_path, b"one"), url)
    with pytest.raises(FileExistsError, match="other bytes"):
        publish.publish(finished_file(tmp_path, b"two"), url)
    assert Path(url).read_bytes() == b"one"


def test_only_the_first_creates_all_may_replace(folder: str) -> None:
    url = storage.join(folder, "job.json")
    publish.create_exclusive(url, b"1")
    with pytest.raises(FileExistsError):
        publish.create_exclusive(url, b"2")
    assert storage.read_json(url) == 1
    publish.replace(url, b"3")
    assert storage.read_json(url) == 3
    assert storage.list_names(folder) == {"job.json"}


def _create(url: str, content: bytes, results: "multiprocessing.Queue[bytes | None]") -> None:
    try:
        publish.create_exclusive(url, content)
    except FileExistsError:
        results.put(None)
    else:
        results.put(content)


def test_of_many_processes_exactly_one_creates(tmp_path: Path) -> None:
    url = str(tmp_path / "job.json")
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[bytes | None] = context.Queue()
    processes = [context.Process(target=_create, args=(url, bytes([i]) * 9, results)) for i in range(6)]
    for process in processes:
        process.start()
    winners = [result for result in [results.get(timeout=60) for _ in processes] if result is not None]
    for process in processes:
        process.join()
    assert winners == [Path(url).read_bytes()]


def test_staging_gives_the_bytes_and_a_seekable_file(folder: str) -> None:
    url = storage.join(folder, "a.tar")
    publish.replace(url, b"0123456789")
    with storage.staged(url) as file:
        file.seek(4)
        assert file.read() == b"456789"


def test_a_remote_file_leaves_no_copy_on_disk_however_the_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fsspec.filesystem("memory").pipe_file("/remote.tar", b"content")
    with storage.staged("memory:///remote.tar") as file:
        assert list(tmp_path.iterdir()) == []
        assert file.read() == b"content"


def test_a_remote_file_that_arrives_short_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/short.tar", b"0123456789")
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(type(memory), "get_file", lambda self, remote, local: Path(local).write_bytes(b"0123"))
    with (
        pytest.raises(OSError, match=r"cannot read memory:///short\.tar .*: 4 of 10 bytes"),
        storage.staged("memory:///short.tar"),
    ):
        pass


def test_a_missing_file_is_an_error_with_its_name(folder: str) -> None:
    with pytest.raises(OSError, match="nothing"), storage.staged(storage.join(folder, "nothing")):
        pass


def test_a_folder_that_is_not_there_has_no_names(folder: str) -> None:
    assert storage.list_names(storage.join(folder, "none")) == set()


@pytest.mark.parametrize("place", ["a file", "/proc/none"])
def test_an_unwritable_folder_is_refused_with_its_name(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    url = str(tmp_path / place)
    with pytest.raises(OSError, match=f"cannot write into the folder {url} .*choose another"):
        publish.prepare_folder(url)


def test_files_of_a_killed_process_are_removed_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom lit_adv.shards import publish, scratch, storage\n"
        f"with scratch.scratch_file({str(tmp_path)!r}, 'dead'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(storage.__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    [dead] = tmp_path.iterdir()
    with scratch.scratch_file(str(tmp_path), "alive") as alive:
        scratch.remove_stale_scratch(str(tmp_path))
        assert list(tmp_path.iterdir()) == [Path(alive.name)]
        assert not dead.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_as_long_a_name_as_there_can_be_is_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "ü" * 127):
        publish.replace(str(tmp_path / name), b"content")
        assert (tmp_path / name).read_bytes() == b"content"
