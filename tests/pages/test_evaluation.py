"""The page of an evaluation as a file: whole, small enough, the same each time, and safe whatever names data have."""

import base64
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_adv.callbacks.evaluation_report import EvaluationReport
from lit_adv.cli.main import run as main
from lit_adv.outcomes import Outcomes
from lit_adv.pages.evaluation import evaluation_page
from lit_adv.pages.gallery import choose, draw
from lit_adv.pages.kept_gallery import PassingPictures, keep_pictures
from lit_adv.shards.attacked import open_attacked
from tests.pages.tiny_evaluation import BOLD_ATTACK, BOLD_CLASS, make_evaluation
from tests.tiny_attacks import LINEAR, OTHER, make_attacked


@pytest.fixture(scope="module")
def page() -> str:
    return evaluation_page(make_evaluation()).decode()


def test_all_that_comes_from_data_is_escaped(page: str) -> None:
    assert BOLD_CLASS not in page
    assert BOLD_ATTACK not in page
    assert "&lt;b&gt;hen&lt;/b&gt;" in page
    assert "<b>" not in page


def test_nothing_in_it_lies_elsewhere(page: str) -> None:
    links = re.findall(r"""(?: src=|href=|url\()["']?([^"')>]+)""", page)
    assert links
    assert {link.partition(":")[0] for link in links if not link.startswith("#")} == {"data"}
    assert "default-src 'none'" in page


def test_the_same_evaluation_makes_the_same_page(page: str) -> None:
    assert evaluation_page(make_evaluation()).decode() == page


def test_50_targets_20_attacks_and_200_images_take_at_most_8_megabytes() -> None:
    attacks = [f"si_ni_ti_dim_{number}" for number in range(20)]
    targets = [f"defense:rp(wheel:efficientnet_lite{number})" for number in range(50)]
    evaluation = make_evaluation(attacks, targets, images=1000, classes=1000, gallery=200, side=224)
    assert len(evaluation.gallery) == 200
    assert len(evaluation_page(evaluation)) <= 8_000_000


def test_a_budget_that_comes_twice_for_a_method_is_another_line() -> None:
    evaluation = make_evaluation(["a", "b", "c", "d"])
    page = evaluation_page(evaluation).decode()
    assert "(2)" not in page
    cells = [cell._replace(budget={"c": 4, "d": 8}.get(cell.attack, cell.budget)) for cell in evaluation.cells]
    page = evaluation_page(replace(evaluation, cells=cells)).decode()
    for target in ("white", "first unseen", "second unseen"):
        assert f" mi_fgsm, {target}<" in page
        assert f" mi_fgsm (2), {target}<" in page


def test_names_that_differ_in_case_alone_can_be_chosen_apart() -> None:
    page = evaluation_page(make_evaluation(["PGD", "pgd"])).decode()
    assert '<option value="PGD">PGD</option>' in page
    assert '<option value="pgd">pgd</option>' in page


def test_the_gallery_is_chosen_by_key_and_the_same_for_all_attacks() -> None:
    outcomes = make_evaluation(images=100).outcomes
    chosen = choose(outcomes, 20)
    assert len(chosen) == 20
    keys = [choice.outcomes.keys[choice.number] for choice in chosen]
    assert keys[:10] == keys[10:] == sorted(keys[:10])
    assert keys[:10] != outcomes[0].keys[:10]
    assert choose(list(reversed(outcomes)), 20)[10:] == chosen[:10]


def test_pictures_that_are_kept_are_not_read_again(tmp_path: Path) -> None:
    attacked = make_attacked(tmp_path, "mi_fgsm")
    folder = open_attacked(str(attacked))
    parts = [
        Outcomes("a", name, [f"k{n}" for n in range(record.samples)], *[np.zeros((1, record.samples), np.int32)] * 3)
        for name, record in folder.shards.items()
    ]
    few, all_of_them = choose(parts, 4), choose(parts, 13)
    made = keep_pictures(all_of_them, {"a": folder}, str(tmp_path))
    kept = (tmp_path / "gallery.json").read_bytes()
    for shard in attacked.glob("*.tar"):
        shard.unlink()
    assert keep_pictures(all_of_them, {"a": folder}, str(tmp_path)) == made
    assert (tmp_path / "gallery.json").read_bytes() == kept
    assert keep_pictures(few, {"a": folder}, str(tmp_path)) == [made[all_of_them.index(choice)] for choice in few]
    # Of other shards, or damaged, nothing is taken.
    other = {name: record._replace(sha256="0" * 64) for name, record in folder.shards.items()}
    with pytest.raises(OSError, match="No such file"):
        keep_pictures(few, {"a": replace(folder, shards=other)}, str(tmp_path))
    (tmp_path / "gallery.json").write_text('{"a": ["javascript:", "", "", 1]')
    with pytest.raises(OSError, match="No such file"):
        keep_pictures(few, {"a": folder}, str(tmp_path))


def test_what_comes_by_is_enough_for_the_gallery_and_little_is_held(tmp_path: Path) -> None:
    folder = open_attacked(str(make_attacked(tmp_path, "mi_fgsm")))
    passing = PassingPictures({"a": folder}, 4)
    parts = []
    for name in reversed(folder.shards):
        keys = [f"k{n}" for n in range(folder.shards[name].samples)]
        parts.append(Outcomes("a", name, keys, *[np.zeros((1, len(keys)), np.int32)] * 3))
        pixels = np.random.default_rng(len(keys)).integers(0, 256, (2, len(keys), 32, 32, 3), np.uint8)
        passing.see("a", name, keys, *pixels)
        assert len(passing.pictures) <= 4
    shown = keep_pictures(choose(parts, 4), {"a": replace(folder, path="/gone")}, str(tmp_path), passing.pictures)
    assert sorted(shown) == sorted(passing.pictures.values())


def test_attacks_with_the_same_shards_each_have_their_pictures(tmp_path: Path) -> None:
    folder = open_attacked(str(make_attacked(tmp_path, "mi_fgsm")))
    folders, gone = {"a": folder, "b": folder}, replace(folder, path="/gone")
    passing, parts = PassingPictures(folders, 4), []
    for name in reversed(folder.shards):
        keys = [f"k{n}" for n in range(folder.shards[name].samples)]
        pixels = np.random.default_rng(len(keys)).integers(0, 256, (2, len(keys), 32, 32, 3), np.uint8)
        for attack in folders:
            parts.append(Outcomes(attack, name, keys, *[np.zeros((1, len(keys)), np.int32)] * 3))
            passing.see(attack, name, keys, *pixels)
    shown = keep_pictures(choose(parts, 4), dict.fromkeys(folders, gone), str(tmp_path), passing.pictures)
    assert shown[:2] == shown[2:]
    assert sorted(shown[:2]) == sorted(passing.pictures.values())


def test_a_change_of_more_than_half_the_range_is_seen() -> None:
    clean = np.zeros((64, 64, 3), np.uint8)
    adversarial = clean.copy()
    adversarial[:32] = 200
    pictures = draw(clean, adversarial)
    change = np.asarray(Image.open(BytesIO(base64.b64decode(pictures.change.partition(",")[2]))))
    assert (pictures.gain, change[:28].min() > 240, 120 < change[36:].mean() < 135) == (1, True, True)


def test_a_gallery_too_large_to_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"report\.gallery 2001; .* more than 2000 images is too large"):
        EvaluationReport(str(tmp_path), gallery=2001)


def test_no_gallery_is_no_gallery() -> None:
    evaluation = make_evaluation(gallery=0)
    assert evaluation.gallery == []
    assert "Images</h2>" not in evaluation_page(evaluation).decode()


def evaluate(attacks: dict[str, Path], report: Path, *extra: str) -> None:
    folders = json.dumps({name: str(folder) for name, folder in attacks.items()})
    main([
        "test",
        f"--data.attacks={folders}",
        f"--model.targets=['{LINEAR}', '{OTHER}']",
        f"--report.path={report}",
        "--data.batch_size=3",
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
        *extra,
    ])  # fmt: skip


def test_an_evaluation_writes_its_page_with_the_images_of_its_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attacked = make_attacked(tmp_path, "mi_fgsm")
    report = tmp_path / "report"
    evaluate({"mi<i>": attacked}, report, "--report.gallery=5")
    page = (report / "results.html").read_text()
    assert f"page      {report}/results.html" in capsys.readouterr().out
    pictures = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) == 3 * 5
    assert Image.open(BytesIO(base64.b64decode(pictures[0]))).size == (32, 32)
    assert "mi&lt;i&gt;" in page
    assert "<i>" not in page
    assert f"lit-adv test --config {report}/config.yaml" in page
    assert f"lit-adv generate --config {attacked}/config.yaml" in page


def test_no_image_is_kept_or_shown_where_none_is_wanted(tmp_path: Path) -> None:
    attacked, report = make_attacked(tmp_path, "mi_fgsm"), tmp_path / "report"
    evaluate({"mi": attacked}, report)
    (report / "examples_of_mine.png").write_bytes(b"no picture of an attack")
    images = {"gallery.json", "examples_mi.png"}
    before = {path.name for path in report.iterdir()}
    assert images < before
    evaluate({"mi": attacked}, report, "--report.gallery=0", "--report.examples=0")
    assert {path.name for path in report.iterdir()} == before - images
    assert "data:image" not in (report / "results.html").read_text()
    for wrong in ("gallery", "examples"):
        with pytest.raises(ValueError, match=f"report.{wrong} -1"):
            evaluate({"mi": attacked}, report, f"--report.{wrong}=-1")


def test_the_first_images_are_drawn_however_small_the_batches_and_other_attacks_pictures_go(tmp_path: Path) -> None:
    attacked, report = make_attacked(tmp_path, "mi_fgsm"), tmp_path / "report"
    evaluate({"before": attacked}, report, "--data.batch_size=1")
    evaluate({"mi": attacked}, report, "--data.batch_size=1", "--report.examples=3")
    assert [path.name for path in report.glob("examples_*")] == ["examples_mi.png"]
    with Image.open(report / "examples_mi.png") as picture:
        assert picture.width == 4 + 3 * (32 + 4)
