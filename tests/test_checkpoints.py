"""Files of weights."""

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from lit_adv.checkpoints import read_checkpoint, read_metadata, to_safetensors


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    (tmp_path / "w.safetensors").write_bytes(to_safetensors(network, {"made by": "a test"}))
    state = read_checkpoint(tmp_path / "w.safetensors")
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert read_metadata(tmp_path / "w.safetensors") == {"made by": "a test"}


def test_weights_used_twice_are_written_twice(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    (tmp_path / "w.safetensors").write_bytes(to_safetensors(nn.Sequential(layer, layer), {}))
    nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).load_state_dict(read_checkpoint(tmp_path / "w.safetensors"))


def test_a_torch_file_has_no_metadata(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "w.pt")
    assert read_metadata(tmp_path / "w.pt") == {}


@pytest.mark.parametrize("zipped", [True, False], ids=["of today", "of 2017"])
@pytest.mark.parametrize("prefix", ["", "module.", "1.module."])
def test_weights_are_found_among_what_training_scripts_keep(prefix: str, zipped: bool, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.rand(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    kept = {
        "epoch": 90,
        "arch": "resnet50",
        "save_dir": "results/20171001-120000",
        "state_dict": OrderedDict((f"{prefix}{name}", value) for name, value in network.state_dict().items()),
        "optimizer": optimizer.state_dict(),
        "args": Namespace(lr=0.01, resume="", debug=False),
    }
    torch.save(kept, tmp_path / "090.ckpt", _use_new_zipfile_serialization=zipped)
    state = read_checkpoint(tmp_path / "090.ckpt")
    assert state.keys() == network.state_dict().keys()  # the numbers of layers among them
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    for read in (read_checkpoint, read_metadata):
        with pytest.raises(FileNotFoundError, match="no checkpoint at nowhere"):
            read("nowhere")
        with pytest.raises(ValueError, match=r"w\.safetensors is n"):
            read(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"list\.pt is neither a safetensors file nor a torch file of plain tensors"):
        read_checkpoint(tmp_path / "list.pt")


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="neither a safetensors file nor a torch file of plain tensors"):
        read_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()
