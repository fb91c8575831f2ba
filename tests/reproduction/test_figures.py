"""Figures, and what of tables and figures goes to W&B."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from lit_adv.metrics import Rate
from lit_adv.reproduction.figures import draw_curves, draw_losses, draw_pairs, to_file
from lit_adv.reproduction.tables import Cell
from lit_adv.reproduction.tracking import log_book
from tests.conftest import WandbCalls
from tests.tiny_attacks import make_attacked, read_stored


def cell(attack: str, target: str, hits: int) -> Cell:
    rate = Rate.of(hits, 10)
    return Cell("one", attack, target, target == "one", rate.value, rate.low, rate.high, hits, 10, None, 0, None)


CURVES = {
    steps: [cell(attack, target, steps // 2) for attack in ("mi_fgsm", "ni_fgsm") for target in ("one", "two", "three")]
    for steps in (4, 16)
}


def test_figure_1_has_a_curve_a_model_over_the_scales() -> None:
    [axes] = draw_losses([0.1, 1.0, 2.0], {"one": [3.0, 1.0, 2.0], "two": [4.0, 2.0, 3.0]}).axes
    assert [(line.get_label(), line.get_ydata().tolist()) for line in axes.lines] == [
        ("one", [3.0, 1.0, 2.0]),
        ("two", [4.0, 2.0, 3.0]),
    ]


def test_figure_2_has_a_panel_a_target_with_both_attacks() -> None:
    panels = draw_curves(CURVES).axes
    assert [panel.get_title() for panel in panels] == ["one*", "two", "three"]
    for panel in panels:
        assert [line.get_ydata().tolist() for line in panel.lines if len(line.get_ydata()) == 2][:1] == [[20.0, 80.0]]
    assert [text.get_text() for text in panels[-1].get_legend().get_texts()] == ["MI-FGSM", "NI-FGSM"]


def test_figure_3_shows_the_stored_images_one_above_the_other(tmp_path: Path) -> None:
    folder = make_attacked(tmp_path, "adversarial")
    panels = draw_pairs(str(folder)).axes
    assert len(panels) == 24  # twelve pairs
    stored = next(read_stored(folder))
    for panel, pixels in zip(panels, (stored.clean, stored.adversarial), strict=False):
        assert (panel.images[0].get_array() == pixels.permute(1, 2, 0).numpy()).all()
    assert (panels[0].get_ylabel(), panels[1].get_ylabel()) == ("clean", "adversarial")


@pytest.mark.parametrize("draw", [lambda: draw_losses([1.0], {"one": [1.0]}), lambda: draw_curves(CURVES)])
def test_files_are_the_same_each_time(draw: Callable[[], Figure]) -> None:
    png, svg = ([to_file(draw(), form) for _ in range(2)] for form in ("png", "svg"))
    assert png[0] == png[1]
    assert svg[0] == svg[1]
    Image.open(BytesIO(png[0])).verify()
    assert b"</svg>" in svg[0]


def test_tables_and_figures_are_one_run_of_the_jobs_group(tmp_path: Path, wandb_calls: WandbCalls) -> None:
    picture = tmp_path / "figure1.png"
    picture.write_bytes(to_file(draw_losses([1.0], {"one": [1.0]}), "png"))
    log_book("group", str(tmp_path / "logs"), {"table4": CURVES[4]}, [str(picture)])
    assert wandb_calls.tables["table4"][0] == list(CURVES[4][0])
    assert wandb_calls.images == ["figure1"]
    [run] = (tmp_path / "logs/wandb").glob("offline-run-*")
    assert run.is_dir()
