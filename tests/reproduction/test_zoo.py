"""Zoos: what their files may say, and the weights that they need."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lit_adv.cli.configs import find_config
from lit_adv.errors import MendableError
from lit_adv.reproduction.paper_run import PaperRun
from lit_adv.reproduction.zoo import find_weights, read_zoo
from lit_adv.shards.job import ConfigMismatchError
from tests.tf_checkpoint.write import write_v2

SMALL: dict[str, Any] = {
    "image_size": 32,
    "models": {"A": "timm:a@{a}", "B": "wheel:b"},
    "surrogates": ["A"],
    "ensemble": ["A", "B"],
    "targets": ["A", "B"],
    "defenses": {
        "R&P": {"defense": "rp", "model": "B"},
        "HGD": {"sum": [{"defense": "hgd", "model": "A", "weights": "{h}"}]},
    },
    "optional": ["HGD"],
    "files": {
        "a": {"names": ["a.ckpt", "a.npy"], "source": "http://a"},
        "h": {"names": ["denoiser"], "source": "the authors"},
    },
}


def write(folder: Path, **changes: Any) -> str:
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump({name: value for name, value in (SMALL | changes).items() if value is not None}))
    return str(file)


@pytest.mark.parametrize("name", ["paper", "local"])
def test_the_package_s_own_zoos_are_read(name: str) -> None:
    zoo = read_zoo(find_config(name, "zoos"))
    assert set(zoo.surrogates) | set(zoo.ensemble) <= set(zoo.targets) == set(zoo.models)
    assert len(zoo.defenses) == 6


def test_the_paper_s_zoo_has_the_paper_s_names_and_lists_all_weights_that_are_missing() -> None:
    zoo = read_zoo(find_config("paper", "zoos"))
    assert list(zoo.models) == ["Inc-v3", "Inc-v4", "IncRes-v2", "Res-101", "Inc-v3ens3", "Inc-v3ens4", "IncRes-v2ens"]
    assert list(zoo.defenses) == ["HGD", "R&P", "NIPS-r3", "FD", "ComDefend", "RS"]
    with pytest.raises(MendableError, match=r"17 files of weights are missing.*--weights FOLDER") as error:
        find_weights(zoo, None)
    assert all(file.source in str(error.value) and file.names[0] in str(error.value) for file in zoo.files.values())
    with pytest.raises(MendableError, match=r"^7 files"):  # without the defenses
        find_weights(zoo, None, defended=False)


def test_weights_are_found_by_any_of_their_names_and_one_folder_down(tmp_path: Path) -> None:
    weights = tmp_path / "weights/archive"
    weights.mkdir(parents=True)
    (weights / "a.npy").write_bytes(b"12345")
    (weights.parent / "denoiser").mkdir()
    (weights.parent / "denoiser/a.pt").write_bytes(b"123")
    zoo, digests, left_out = find_weights(read_zoo(write(tmp_path)), str(tmp_path / "weights"))
    assert zoo.models == {"A": f"timm:a@{weights}/a.npy", "B": "wheel:b"}
    assert zoo.defenses["R&P"] == {"defense": "rp", "model": "wheel:b"}
    [part] = zoo.defenses["HGD"]["sum"]
    assert part == {"defense": "hgd", "model": f"timm:a@{weights}/a.npy", "weights": f"{tmp_path}/weights/denoiser"}
    assert digests == {
        f"{weights}/a.npy": hashlib.sha256(b"12345").hexdigest(),
        f"{weights.parent}/denoiser": hashlib.sha256(b"123").hexdigest(),
    }
    assert left_out == {}
    assert zoo.described("R&P") == {"name": "R&P", "defense": "rp", "model": "wheel:b"}


def test_weights_of_the_same_size_have_another_digest(tmp_path: Path) -> None:
    """All checkpoints of one network are equally large, and those of version 2 have their numbers beside the index."""
    names = {"a": {"names": ["a.ckpt.index"], "source": ""}, "h": {"names": ["denoiser"], "source": ""}}
    zoo = read_zoo(write(tmp_path, files=names))
    rng = np.random.default_rng(0)
    digests = []
    for _ in range(2):
        write_v2(tmp_path / "a.ckpt", {"weights": rng.normal(size=3).astype(np.float32)})
        (tmp_path / "denoiser").mkdir(exist_ok=True)
        (tmp_path / "denoiser/enc.npy").write_bytes(rng.bytes(5))
        digests.append(find_weights(zoo, str(tmp_path))[1])
    first, second = digests
    assert first.keys() == second.keys() == {f"{tmp_path}/a.ckpt.index", f"{tmp_path}/denoiser"}
    assert all(first[path] != second[path] for path in first)


def test_a_folder_that_records_sizes_goes_on_and_one_with_digests_notices_other_weights(tmp_path: Path) -> None:
    zoo, out = write(tmp_path), tmp_path / "out"
    file = tmp_path / "a.npy"
    file.write_bytes(b"12345")

    def begin() -> dict[str, Any]:
        PaperRun(zoo, str(tmp_path), ["table1a"], str(tmp_path / "clean"), out, [])
        record: dict[str, Any] = json.loads((out / "zoo.json").read_text())
        return record

    record = begin()
    assert record["weights"] == {str(file): hashlib.sha256(b"12345").hexdigest()}
    (out / "zoo.json").write_text(json.dumps(record | {"weights": {str(file): 5}}))
    assert begin()["weights"] == {str(file): 5}
    (out / "zoo.json").write_text(json.dumps(record))
    file.write_bytes(b"54321")
    with pytest.raises(ConfigMismatchError, match=r"a\.npy"):
        begin()


def test_an_optional_defense_is_left_out_without_its_weights(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").touch()
    zoo, _, left_out = find_weights(read_zoo(write(tmp_path)), str(tmp_path))
    assert list(zoo.defenses) == ["R&P"]
    assert left_out == {"HGD": "denoiser (the authors)"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": None}, "says nothing of targets"),
        ({"target": ["A"]}, "has no entry 'target'"),
        ({"surrogates": ["C"]}, "surrogates names 'C', which is not among its models"),
        ({"ensemble": []}, "ensemble must be a list"),
        ({"targets": "A"}, "targets must be a list"),
        ({"together": {"C": "timm:c"}}, "names 'C', which is not among its models"),
        ({"defenses": {"A": {"defense": "rp", "model": "B"}}, "optional": []}, "'A' is the name of a model and of a"),
        ({"optional": ["RS"]}, "optional names 'RS'"),
        ({"models": {"A": "timm:a", "B": "wheel:b", "../C": "timm:c"}}, "must not hold a slash"),
        ({"models": ["A"]}, "zoo.yaml: "),
        ({"files": {"a": {"name": "a"}}}, "zoo.yaml: "),
    ],
)
def test_what_is_wrong_with_a_zoo_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MendableError, match=message):
        read_zoo(write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["models: [", "- A", "\0"])
def test_what_is_no_zoo_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "zoo.yaml").write_text(text)
    with pytest.raises(MendableError, match=r"zoo\.yaml"):
        read_zoo(str(tmp_path / "zoo.yaml"))
