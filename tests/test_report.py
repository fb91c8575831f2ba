"""Tables and figures from results."""

import csv
import io
import json
import math

import pytest
from PIL import Image

from lit_adv.metrics import Rate, TransferResult
from lit_adv.report import Cell, heat_map, to_csv, to_json, to_markdown


def make_cell(attack: str, target: str, fooled: int, clean: int = 90, **changes: object) -> Cell:
    nothing = Rate.of(0, 0)
    result = TransferResult(
        success=Rate.of(fooled, 100),
        success_on_correct=Rate.of(min(fooled, clean), clean),
        targeted_success=nothing,
        abstention=Rate.of(0, 100),
        clean_accuracy=Rate.of(clean, 100),
        breaches=0,
        mean_linf=16.0,
        mean_l2=12.5,
    )
    values = {"surrogate": "timm:a", "white_box": False, "budget": 16, "paper": None, "result": result}
    return Cell(attack=attack, target=target, **{**values, **changes})  # type: ignore[arg-type]


def grid() -> list[Cell]:
    return [
        make_cell("mi", "timm:a", 98, white_box=True),
        make_cell("mi", "timm:b", 40, clean=80, paper=0.384),
        make_cell("si", "timm:a", 100, white_box=True),
        make_cell("si", "timm:b", 75, clean=80),
    ]


def lines(cells: list[Cell], reference: bool = False) -> list[list[str]]:
    text = to_markdown(cells, reference)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_the_table_has_the_paper_s_layout() -> None:
    assert lines(grid()) == [
        ["Model", "Attack", "timm:a", "timm:b", "Average"],
        ["------", "------", "------------:", "----------:", "------:"],
        ["timm:a", "mi", "98.0* (90.0)", "40.0 (80.0)", "69.0"],
        ["timm:a", "si", "100.0* (90.0)", "75.0 (80.0)", "87.5"],
    ]


def test_its_columns_are_aligned() -> None:
    widths = {len(line) for line in to_markdown(grid()).splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_paper_s_number_stands_beside_ours_on_request() -> None:
    assert lines(grid(), reference=True)[2][3] == "40.0 (80.0) [38.4]"
    assert lines(grid(), reference=True)[3][3] == "75.0 (80.0)"
    assert "brackets" in to_markdown(grid(), reference=True)
    assert "brackets" not in to_markdown(grid())


def test_the_notes_explain_the_signs_that_occur() -> None:
    assert "star" in to_markdown(grid())
    assert "star" not in to_markdown(grid()[1:2])
    assert "abstention" not in to_markdown(grid())
    abstaining = grid()[1].result._replace(abstention=Rate.of(3, 100))
    assert "abstention" in to_markdown([grid()[1]._replace(result=abstaining)])


def test_images_beyond_the_budget_are_reported_once_an_attack() -> None:
    broken = [cell._replace(result=cell.result._replace(breaches=3)) for cell in grid()]
    assert "beyond the perturbation budget: 6." in to_markdown(broken)
    assert "beyond the perturbation budget: 0." in to_markdown(grid())
    assert "beyond the perturbation budget" not in to_markdown([cell._replace(budget=None) for cell in grid()])


def test_a_targeted_attack_has_a_second_row() -> None:
    aimed = [c._replace(result=c.result._replace(targeted_success=Rate.of(7, 100))) for c in grid()[:2]]
    assert lines(aimed)[3] == ["timm:a", "mi, class aimed at", "7.0*", "7.0", ""]


def test_json_and_csv_hold_a_row_for_each_pair_with_counts_rates_and_intervals() -> None:
    from_json = json.loads(to_json(grid()))
    from_csv = list(csv.DictReader(io.StringIO(to_csv(grid()).decode())))
    assert [(row["attack"], row["target"]) for row in from_json] == [
        ("mi", "timm:a"), ("mi", "timm:b"), ("si", "timm:a"), ("si", "timm:b")
    ]  # fmt: skip
    row = from_json[1]
    assert (row["success_hits"], row["success_total"], row["success"]) == (40, 100, 0.4)
    assert row["success_low"] == pytest.approx(0.3094, abs=1e-4)
    assert row["success_high"] == pytest.approx(0.4980, abs=1e-4)
    assert list(from_csv[0]) == list(row)
    assert float(from_csv[1]["success_low"]) == row["success_low"]


def test_what_is_not_known_is_null_and_an_empty_field() -> None:
    assert math.isnan(grid()[0].result.targeted_success.value)
    assert json.loads(to_json(grid()))[0]["targeted_success"] is None
    assert next(csv.DictReader(io.StringIO(to_csv(grid()).decode())))["targeted_success"] == ""


def test_the_heat_map_is_a_picture_that_grows_with_the_table() -> None:
    more = [make_cell(attack, target, 50) for attack in ("x", "y", "z") for target in ("timm:a", "timm:b")]
    small, large = (Image.open(io.BytesIO(heat_map(cells))) for cells in (grid(), grid() + more))
    assert small.format == "PNG"
    assert large.height > small.height


def test_names_with_dollar_signs_are_names() -> None:
    assert heat_map([make_cell("$x^$", "timm:$a^$", 50)]) != heat_map([make_cell("x", "timm:a", 50)])


def test_the_heat_map_shows_rates_and_stars() -> None:
    other_rate = [make_cell("mi", "timm:a", 20, white_box=True), *grid()[1:]]
    no_star = [make_cell("mi", "timm:a", 98), *grid()[1:]]
    assert len({heat_map(cells) for cells in (grid(), other_rate, no_star)}) == 3
    assert heat_map(grid()) == heat_map(grid())
