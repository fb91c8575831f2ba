"""Only whole shards are read."""

import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_adv.shards.tar import MAX_MEMBER_BYTES, ShardError, index_samples, read_sample
from tests.mutations import mutations

FILES = {"a/x.jpg": b"1" * 700, "a/x.cls": b"3", "a/y.tar.JPG": b"2" * 512, "z.png": b"", "z.cls": b"9"}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return buffer.getvalue()


def end_of_archive(content: bytes) -> int:
    """Return where the two zero blocks begin."""
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        last = tar.getmembers()[-1]
        return last.offset_data + -(-last.size // 512) * 512


WHOLE = archive(FILES)
LONG_NAMES = archive({"k" * 150 + ".jpg": b"1" * 100, "k" * 150 + ".cls": b"1"})


def test_samples_hold_what_webdataset_finds(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(archive({"__meta__/info.json": b"{}", ".hidden": b"", "README": b"", **FILES}))
    expected = [
        {name: value for name, value in sample.items() if not name.startswith("__")} | {"key": sample["__key__"]}
        for sample in wds.WebDataset(str(path), shardshuffle=False)
    ]
    with path.open("rb") as file:
        samples = index_samples(file, "s.tar")
        assert [read_sample(file, sample) | {"key": sample.key} for sample in samples] == expected


@pytest.mark.parametrize("content", [WHOLE, LONG_NAMES], ids=["plain", "extended headers"])
def test_a_shard_cut_anywhere_before_its_end_is_refused(content: bytes) -> None:
    needed = end_of_archive(content) + 1024
    cuts = {*range(0, needed, 37), *range(0, needed, 512), *range(needed - 3, needed)}
    for cut in sorted(cuts):
        with pytest.raises(ShardError, match=r"^cut\.tar: it is (cut off|empty)"):
            index_samples(BytesIO(content[:cut]), "cut.tar")
    assert index_samples(BytesIO(content[:needed]), "whole.tar")


@given(st.integers(0, end_of_archive(WHOLE) + 1023))
def test_no_cut_is_taken_for_a_whole_shard(cut: int) -> None:
    with pytest.raises(ShardError):
        index_samples(BytesIO(WHOLE[:cut]), "cut.tar")


def test_a_damaged_header_in_the_middle_is_refused() -> None:
    damaged = bytearray(WHOLE)
    damaged[512 + 1024 + 3] ^= 1
    with pytest.raises(ShardError, match="cut off or damaged"):
        index_samples(BytesIO(bytes(damaged)), "s.tar")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<html>not found</html>" * 100, "not a tar archive"),
        (archive({"README": b"hello"}), "holds no samples"),
        (archive({"__imgs__/a.jpg": b"1", "__imgs__/a.cls": b"1"}), "passed over, such as '__imgs__/a.jpg'; rename"),
        (archive({"n01/.a.cls": b"1", "n01/.a.bmp": b"1"}), "passed over, such as 'n01/.a.cls'; rename"),
        (archive({"/etc/x.jpg": b""}), "leads out of the archive"),
        (archive({"a/../../x.jpg": b""}), "leads out of the archive"),
    ],
)
def test_what_is_not_a_shard_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ShardError, match=rf"^s\.tar: .*{reason}"):
        index_samples(BytesIO(content), "s.tar")


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_shard_is_refused_with_the_remedy(mode: str, name: str) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        tar.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(ShardError, match=f"compressed with {name}; decompress it first"):
        index_samples(buffer, "s.tar.gz")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = kind, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ShardError, match=r"'a\.jpg' is not a plain file"):
        index_samples(buffer, "s.tar")


def test_a_file_that_claims_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path, info = tmp_path / "s.tar", tarfile.TarInfo("a.jpg")
    info.size = MAX_MEMBER_BYTES + 1
    with path.open("wb") as file:  # sparse: on disk it takes some kilobytes
        file.write(info.tobuf())
        file.truncate(512 + MAX_MEMBER_BYTES + 512 + 1024)
    with path.open("rb") as shard, pytest.raises(ShardError, match=r"'a\.jpg' claims 268435457 bytes; the limit is"):
        index_samples(shard, "s.tar")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [2**20 + 512, 2**40, -512, -(2**40)])
def test_an_oversized_header_is_refused_before_it_is_read(kind: bytes, size: int) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, max(size, 0)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]  # type: ignore[attr-defined]
    with pytest.raises(ShardError, match="cut off or"):
        index_samples(BytesIO(bytes(header) + bytes(4096)), "s.tar")


def test_endless_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_adv.shards.tar.MAX_MEMBERS", 4)
    with pytest.raises(ShardError, match="more than 4 files; split it into several shards"):
        index_samples(BytesIO(WHOLE), "s.tar")
    assert index_samples(BytesIO(archive({"a.jpg": b"", "a.cls": b"1"})), "s.tar")


def test_a_chain_of_headers_does_not_exhaust_the_stack() -> None:
    info = tarfile.TarInfo("a")
    info.type = tarfile.GNUTYPE_LONGNAME
    with pytest.raises(ShardError, match="cut off or"):
        index_samples(BytesIO(info.tobuf(tarfile.GNU_FORMAT) * 50_000 + bytes(4096)), "s.tar")


@settings(max_examples=150, deadline=None)
@given(mutations(WHOLE))
def test_a_mutated_shard_is_read_or_refused_never_anything_else(content: bytes) -> None:
    file = BytesIO(content)
    try:
        samples = index_samples(file, "s.tar")
    except ShardError:
        return
    for sample in samples:
        assert sum(map(len, read_sample(file, sample).values())) <= len(content)


def test_folders_are_no_samples() -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo("a.b")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        tar.addfile(tarfile.TarInfo("a.b/c.jpg"))
    assert [sample.key for sample in index_samples(buffer, "s.tar")] == ["a.b/c"]


def test_a_repeated_file_begins_another_sample_of_the_same_key() -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a.jpg", "a.cls", "a.jpg", "a.cls"):
            tar.addfile(tarfile.TarInfo(name))
    samples = index_samples(buffer, "s.tar")
    assert [(sample.key, sorted(sample.members)) for sample in samples] == [("a", ["cls", "jpg"])] * 2


def test_archives_joined_by_cat_are_refused_with_the_remedy() -> None:
    with pytest.raises(ShardError, match=r"other data follows the end of the archive \(5 files\).* --ignore-zeros"):
        index_samples(BytesIO(WHOLE + LONG_NAMES), "s.tar")


def test_zeros_may_follow_the_end() -> None:
    content = WHOLE[: end_of_archive(WHOLE)]
    for zeros in (1024, 10240, 3 * 2**20):
        assert len(index_samples(BytesIO(content + bytes(zeros)), "s.tar")) == 3


def test_an_archive_without_files_is_a_shard_of_no_samples() -> None:
    for content in (archive({}), bytes(1024), archive({"__meta__/info.json": b"{}", "t/.DS_Store": b""})):
        assert index_samples(BytesIO(content), "s.tar") == []


def test_a_file_that_was_never_written_is_no_empty_archive() -> None:
    with pytest.raises(ShardError, match="it holds 2097152 zero bytes and no file"):
        index_samples(BytesIO(bytes(2 * 2**20)), "s.tar")


def test_a_tar_of_a_folder_of_a_mac_has_its_samples_alone() -> None:
    files = {"t/._a.jpg": b"mac", "t/a.jpg": b"1", "t/._a.cls": b"mac", "t/a.cls": b"1", "t/.DS_Store": b""}
    [sample] = index_samples(BytesIO(archive(files)), "s.tar")
    assert (sample.key, sorted(sample.members)) == ("t/a", ["cls", "jpg"])
