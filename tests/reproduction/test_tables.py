"""Tables: from results to the paper's layout, and to sentences."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from lit_adv.attacks import describe_attack
from lit_adv.metrics import Rate
from lit_adv.reproduction.experiments import TABLES
from lit_adv.reproduction.findings import findings
from lit_adv.reproduction.plan import Planner
from lit_adv.reproduction.tables import Cell, read_cells, to_csv, to_latex, to_markdown


def cell(source: str, attack: str, target: str, hits: int, paper: float | None = None) -> Cell:
    """Return a cell of 200 images."""
    rate = Rate.of(hits, 200)
    return Cell(source, attack, target, source == target, rate.value, rate.low, rate.high, hits, 200, 0.5, 2, paper)


#: Table 1 (b) of two models; on IncRes-v2ens the extension from Inc-v3 is behind.
CELLS = [
    cell("Inc-v3", "dim", "Inc-v3", 198, 0.987),
    cell("Inc-v3", "dim", "Res-101", 100, 0.54),
    cell("Inc-v3", "dim", "IncRes-v2ens", 50, 0.097),
    cell("Inc-v3", "si_ni_dim", "Inc-v3", 200, 0.996),
    cell("Inc-v3", "si_ni_dim", "Res-101", 150, 0.754),
    cell("Inc-v3", "si_ni_dim", "IncRes-v2ens", 49, 0.202),
]


def test_the_markdown_has_the_paper_s_layout_with_intervals_stars_and_the_paper_s_numbers() -> None:
    head, rule, first, second = to_markdown(TABLES["table1b"], CELLS).splitlines()
    assert head == "| Model | Attack | Inc-v3 | Res-101 | IncRes-v2ens | Black-box mean |"
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: |"
    assert first == (
        "| Inc-v3 | DIM | 99.0* (96.4 to 99.7) [98.7] | 50.0 (43.1 to 56.9) [54.0] | 25.0 (19.5 to 31.4) [9.7] "
        "| 37.5 [31.9] |"
    )
    assert second.startswith("| Inc-v3 | SI-NI-DIM | 100.0* ")


def test_other_models_have_no_number_of_the_paper_s_beside() -> None:
    lines = to_markdown(TABLES["table1b"], [each._replace(paper=None) for each in CELLS]).splitlines()
    assert lines[2].endswith("| 25.0 (19.5 to 31.4) | 37.5 |")


def test_table_4_averages_all_columns() -> None:
    cells = [cell("Inc-v3", "fgsm", target, hits) for target, hits in (("Inc-v3", 100), ("Res-101", 50))]
    assert to_markdown(TABLES["table4"], cells).splitlines()[0].endswith("| Average |")
    assert to_markdown(TABLES["table4"], cells).splitlines()[2].endswith("| 37.5 |")


def test_the_csv_has_a_row_a_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(CELLS))))
    assert len(rows) == len(CELLS)
    assert rows[0] | {"low": "", "high": ""} == {
        **{"source": "Inc-v3", "attack": "dim", "target": "Inc-v3", "white_box": "True"},
        **{"success": "0.99", "low": "", "high": "", "hits": "198", "images": "200"},
        **{"on_correct": "0.5", "correct": "2", "paper": "0.987"},
    }


def test_the_latex_is_whole_and_its_signs_are_escaped() -> None:
    defended = [cell("ensemble", attack, "R&P", hits) for attack, hits in (("ti_dim", 80), ("si_ni_ti_dim", 100))]
    text = to_latex(TABLES["table3"], defended, "100 % of A_1")
    lines = text.splitlines()
    assert r"Model & Attack & R\&P & Average \\" in lines
    assert r"\caption{Table 3: the ensemble's images against defenses. 100 \% of A\_1}" in lines
    assert r"\multirow{2}{*}{ensemble} & TI-DIM & 40.0 {\tiny (33.5--46.9)} & 40.0 \\" in lines
    assert r" & SI-NI-TI-DIM & \textbf{50.0} {\tiny (43.1--56.9)} & 50.0 \\" in lines
    assert text.count("{") == text.count("}")
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1


def test_c_and_w_is_escaped_too() -> None:
    assert r"& C\&W &" in to_latex(TABLES["table4"], [cell("Inc-v3", "cw", "Inc-v3", 200)], "")


def test_the_words_say_where_the_order_is_not_the_paper_s() -> None:
    order, means, numbers = findings(TABLES["table1b"], CELLS)
    assert order == (
        "SI-NI-DIM is ahead of DIM on 1 of 2 black-box cells (-0.5 to +25.0 points; the paper, with its models: 23 "
        "of 23, +10.5 to +25.7). Unlike the paper, it is not ahead on: Inc-v3 to IncRes-v2ens, 24.5 against 25.0 (the "
        "intervals overlap)."
    )
    # The mean of the 23 cells of which the paper's numbers can be read for both attacks.
    assert means == "Mean success over all black-box cells, in %: DIM 37.5 (paper 42.3), SI-NI-DIM 49.8 (paper 61.4)."
    assert numbers == (
        "5 of the paper's 6 numbers lie within the 95 % interval of ours; furthest apart is DIM from Inc-v3 on "
        "IncRes-v2ens, 25.0 here and 9.7 in the paper."
    )


def test_the_words_say_that_the_order_is_the_paper_s() -> None:
    order, _, numbers = findings(
        TABLES["table1b"], [each._replace(paper=None) for each in CELLS if each.hits not in (49, 50)]
    )
    assert order.startswith("SI-NI-DIM is ahead of DIM on 1 of 1 black-box cells (+25.0 to +25.0 points; ")
    assert "Unlike" not in order
    assert (
        numbers == "The paper has other models or other settings, so that no number of its stands beside a single cell."
    )


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_s_words_stand_beside_the_paper_s(name: str) -> None:
    table = TABLES[name]
    cells = [cell("one", attack, "two", 50 + number) for number, attack in enumerate(table.attacks)]
    said = findings(table, cells)
    assert len(said) == len(table.ahead) + 2
    assert all("; the paper, with its models: " in sentence for sentence in said[: len(table.ahead)])


def write_results(folder: Path, **options: Any) -> None:
    """Write what the jobs of Table 3 leave, of attacks with some options, and of models that are fused in some way."""
    fusion = options.pop("fusion", None)
    attacks = ("mi_fgsm", "ti_dim", "si_ni_ti_dim")
    for attack in attacks:
        made = {"surrogate": dict.fromkeys(["one", "two"], "digest"), "attack": attack, "fusion": fusion}
        made["attack_options"] = describe_attack(attack, **options)
        (folder / "images/ensemble" / attack).mkdir(parents=True, exist_ok=True)
        (folder / "images/ensemble" / attack / "manifest.json").write_text(json.dumps({"config": {"model": made}}))
    rows = [
        {
            **{"attack": f"ensemble_{attack}", "target": "R&P", "white_box": True, "success": 0.5},
            **{"success_low": 0.1, "success_high": 0.9, "success_hits": 2, "success_total": 4},
            **{"success_on_correct": None, "success_on_correct_total": 0},
        }
        for attack in attacks
    ]
    (folder / "results/table3/R&P").mkdir(parents=True, exist_ok=True)
    (folder / "results/table3/R&P/results.json").write_text(json.dumps(rows))


def test_cells_come_from_the_results_of_the_evaluations(planner: Planner, tmp_path: Path) -> None:
    write_results(tmp_path)
    first, *_, last = read_cells(TABLES["table3"], planner, tmp_path)
    # The attack saw a model that the defense stands around.
    assert first == Cell("ensemble", "mi_fgsm", "R&P", True, 0.5, 0.1, 0.9, 2, 4, None, 0, None)
    assert (last.attack, last.paper) == ("si_ni_ti_dim", None)  # the ensemble is not the paper's
    planner.zoo.models.update(dict.fromkeys(["Inc-v4", "IncRes-v2"], "import:four:build"))
    planner.zoo.ensemble[:] = ["Inc-v3", "Inc-v4", "IncRes-v2", "Res-101"]
    assert [cell.paper for cell in read_cells(TABLES["table3"], planner, tmp_path)] == [0.293, 0.753, 0.913]


@pytest.mark.parametrize("settings", [{"eps": "8/255"}, {"steps": 20}, {"fusion": "loss"}])
def test_no_number_of_the_paper_stands_beside_other_settings(
    planner: Planner, tmp_path: Path, settings: dict[str, Any]
) -> None:
    write_results(tmp_path, **settings)
    planner.zoo.models.update(dict.fromkeys(["Inc-v4", "IncRes-v2"], "import:four:build"))
    planner.zoo.ensemble[:] = ["Inc-v3", "Inc-v4", "IncRes-v2", "Res-101"]
    assert [cell.paper for cell in read_cells(TABLES["table3"], planner, tmp_path)] == [None] * 3


def test_defenses_are_compared_whether_the_attack_saw_what_is_in_them_or_not() -> None:
    cells = [
        cell("ensemble", attack, "R&P", 50 + number)._replace(white_box=True)
        for number, attack in enumerate(TABLES["table3"].attacks)
    ]
    first, *_, means, _ = findings(TABLES["table3"], cells)
    assert first.startswith("TI-DIM is ahead of MI-FGSM on 1 of 1 defenses (+0.5 to +0.5 points")
    assert means.startswith("Mean success over all defenses, in %: MI-FGSM 25.0 (paper ")
    assert " 25.0* (" in to_markdown(TABLES["table3"], cells)
