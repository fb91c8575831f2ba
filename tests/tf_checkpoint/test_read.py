"""Every variable comes back bit for bit, from files of TensorFlow's own and from others."""

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lit_adv.tf_checkpoint import checkpoint_files, is_tf_checkpoint, read_tf_checkpoint
from tests.tf_checkpoint.tiny import assert_same
from tests.tf_checkpoint.write import TYPES, Tensors, write_v1, write_v2

GOLDEN = Path(__file__).parents[1] / "golden/tf_checkpoint"
DATA = "data-00000-of-00001"

NAMES = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1, max_size=40)
TENSORS_OF_ALL_KINDS = st.dictionaries(
    NAMES,
    st.sampled_from(sorted(TYPES)).flatmap(lambda name: arrays(name, array_shapes(min_dims=0, min_side=0, max_dims=4))),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("name", ["v1.ckpt", "snappy_v1.ckpt", "v2.ckpt", "snappy_v2.ckpt"])
def test_tensorflow_s_own_files(name: str) -> None:
    with np.load(GOLDEN / "values.npz") as values:
        assert_same(read_tf_checkpoint(GOLDEN / name), {key.replace("|", "/"): values[key] for key in values})


@pytest.mark.parametrize("snappy", [False, True])
@settings(max_examples=40, deadline=None)
@given(tensors=TENSORS_OF_ALL_KINDS)
def test_version_1_comes_back(snappy: bool, tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("v1") / "model.ckpt"
    write_v1(path, tensors, snappy=snappy)
    assert_same(read_tf_checkpoint(path), tensors)


@pytest.mark.parametrize("snappy", [False, True])
@settings(max_examples=40, deadline=None)
@given(tensors=TENSORS_OF_ALL_KINDS, shards=st.integers(1, 3))
def test_version_2_comes_back(
    snappy: bool, tensors: Tensors, shards: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("v2") / "model.ckpt"
    write_v2(prefix, tensors, shards=shards, snappy=snappy)
    assert_same(read_tf_checkpoint(prefix), tensors)


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_large_variables_lie_in_many_blocks(write: Callable[..., None], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"Net/{number}": rng.standard_normal((50, 1 + 7 * number**3)) for number in range(8)}
    write(tmp_path / "model.ckpt", tensors)
    assert_same(read_tf_checkpoint(tmp_path / "model.ckpt"), tensors)


@pytest.mark.parametrize("name", ["v2.ckpt", "v2.ckpt.index", f"v2.ckpt.{DATA}"])
def test_any_name_of_version_2_stands_for_all_of_its_files(name: str) -> None:
    assert checkpoint_files(GOLDEN / name) == [GOLDEN / "v2.ckpt.index", GOLDEN / f"v2.ckpt.{DATA}"]
    assert is_tf_checkpoint(str(GOLDEN / name))
    assert "global_step" in read_tf_checkpoint(str(GOLDEN / name))


def test_version_1_is_one_file() -> None:
    assert checkpoint_files(GOLDEN / "v1.ckpt") == [GOLDEN / "v1.ckpt"]
    assert is_tf_checkpoint(GOLDEN / "v1.ckpt")


def test_an_index_beside_a_file_is_the_checkpoint(tmp_path: Path) -> None:
    write_v1(tmp_path / "model.ckpt", {"old": np.zeros(1)})
    write_v2(tmp_path / "model.ckpt", {"new": np.zeros(1)})
    assert [*read_tf_checkpoint(tmp_path / "model.ckpt")] == ["new"]


@pytest.mark.parametrize("name", ["", ".", "missing", "values.npz", "empty"])
def test_what_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "values.npz", tmp_path)
    (tmp_path / "empty").touch()
    assert not is_tf_checkpoint(tmp_path / name)


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_reading_takes_little_more_memory_than_the_file(write: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    write(path, {f"Net/{number}": np.ones((100, 100, 50), np.float32) for number in range(10)})
    read_tf_checkpoint(GOLDEN / "v1.ckpt")  # the checksum's tables stay
    tracemalloc.start()
    variables = read_tf_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(variables) == 10
    assert peak < 1.2 * 20_000_000
