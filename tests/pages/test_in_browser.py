"""The page of an evaluation in a real browser, as its reader uses it."""

from pathlib import Path

import pytest

from lit_adv.pages.evaluation import evaluation_page
from lit_adv.pages.generation import generation_page
from lit_adv.pages.training import History, training_page
from lit_adv.shards.job_status import DoneShard, JobStatus
from lit_adv.shards.manifest import Summary
from tests.pages.browser import Browser
from tests.pages.tiny_evaluation import BOLD_ATTACK, BOLD_CLASS, make_evaluation

ROWS = "#rates tbody tr"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "results.html"
    path.write_bytes(evaluation_page(make_evaluation()))
    return path


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    """The browser with the page."""
    browser.open(page)
    return browser


def test_a_column_sorts_the_attacks(opened: Browser) -> None:
    column = "#rates tbody td:nth-child(3) .value"
    heads = opened.all("#rates thead button")
    heads[2].click()
    falling = [float(text) for text in opened.texts(column)]
    assert falling == sorted(falling, reverse=True)
    assert opened.all("#rates thead th")[2].get_attribute("aria-sort") == "descending"
    heads[2].click()
    assert [float(text) for text in opened.texts(column)] == falling[::-1] != falling
    heads[0].click()
    names = opened.run(f"return [...document.querySelectorAll('{ROWS}')].map(row => row.dataset.name)")
    assert names == [BOLD_ATTACK, "si_ni_ti_dim"]


def test_a_switch_shows_success_on_clean_correct_images(opened: Browser) -> None:
    rates = [cell.result for cell in make_evaluation().cells]
    shown = f"{ROWS} td[data-clean] .value"
    assert opened.texts(shown) == [f"{100 * rate.success.value:.1f}" for rate in rates]
    opened.one("input[value=correct]").click()
    assert opened.texts(shown) == [f"{100 * rate.success_on_correct.value:.1f}" for rate in rates]


def test_the_papers_numbers_come_when_asked_for(opened: Browser) -> None:
    assert opened.texts(".paper") == []
    opened.one("#paper").click()
    assert opened.texts(".paper") == ["66.1", "66.1"]


def test_the_keyboard_alone_reaches_a_cells_interval(opened: Browser) -> None:
    opened.run("document.querySelector('#rates thead th:last-child button').focus()")
    opened.press("\ue004", "\ue014")  # the tabulator, the arrow to the right
    cell = make_evaluation().cells[1].result.success
    [tip] = opened.texts("#tip")
    assert f"{cell.hits} of {cell.total}: {100 * cell.value:.1f} %" in tip
    assert f"95 % interval {100 * cell.low:.1f} to {100 * cell.high:.1f}" in tip
    assert f"{BOLD_ATTACK}, first unseen" in tip
    opened.press("\ue00c")  # escape
    assert opened.texts("#tip") == []


def test_the_gallery_is_filtered_by_class_and_outcome(opened: Browser) -> None:
    cards = [(choice.outcomes, choice.number) for choice, _ in make_evaluation().gallery]
    withstood = [(part, n) for part, n in cards if not part.fooled[:, n].all()]
    opened.choose("#by-outcome", "some")
    assert len(opened.texts(".card")) == len(withstood) > 0
    opened.choose("#by-outcome", "")
    opened.choose("#by-class", "class 3")
    of_class = [part.labels[n] == 3 for part, n in cards]
    assert len(opened.texts(".card")) == sum(of_class) > 0
    assert opened.texts("#shown") == [f"{sum(of_class)} images"]


def test_a_class_called_bold_is_not_bold(opened: Browser) -> None:
    assert opened.all("b") == []
    assert BOLD_CLASS in "\n".join(opened.texts("#classes th"))


def test_there_are_no_errors_and_nothing_is_asked_of_the_network(opened: Browser, page: Path) -> None:
    for element in opened.all("summary, thead button, input"):
        opened.run("arguments[0].scrollIntoView(); arguments[0].click()", element)
    opened.run("scrollTo(0, document.body.scrollHeight)")
    assert opened.errors == []
    assert opened.requests == [page.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page(scheme: str, browser: Browser, page: Path) -> None:
    browser.prefer(scheme)
    browser.open(page)
    colors = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    ink, paper = (sum(map(int, color[4:-1].split(","))) / 3 for color in browser.run(colors))
    assert abs(ink - paper) > 150
    assert (ink > paper) == (scheme == "dark")


def test_a_phone_scrolls_tables_and_not_the_page(browser: Browser, tmp_path: Path) -> None:
    targets = [f"defense:rp(wheel:efficientnet_lite{number})" for number in range(50)]
    page = tmp_path / "wide.html"
    page.write_bytes(evaluation_page(make_evaluation(targets=targets, gallery=2)))
    browser.open(page, width=390, height=800)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    region = browser.one("#matrix .scroll")
    assert browser.run("return arguments[0].scrollWidth > 3 * arguments[0].clientWidth", region)
    left = "return document.querySelector('#rates tbody th').getBoundingClientRect().left"
    before = browser.run(left)
    browser.run("arguments[0].scrollLeft = 2000", region)
    assert browser.run(left) == before  # the names of the attacks stay in sight
    browser.one("#find-target").send_keys("LITE49")
    assert [text.split()[0] for text in browser.texts("#rates thead th[data-name]")] == [targets[49]]


def test_paper_shows_all_that_the_screen_hides(browser: Browser, page: Path) -> None:
    browser.prefer("light", media="print")
    browser.open(page)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.texts(".controls label") == []
    assert len(browser.texts(".answers")) == len(make_evaluation().gallery)


def test_pages_of_jobs_and_of_training_ask_for_nothing_either(browser: Browser, tmp_path: Path) -> None:
    sidecars = [DoneShard(f"s{number}", 4, 3, 100.0, 1000.0 + 60 * number) for number in range(3)]
    status = JobStatus(
        folder="out",
        config={"model": {"attack": "<b>"}},
        done=sidecars,
        failed={"s3": "<b>cut off</b>"},
        missing=["s4"],
        totals=Summary(3, 12, 0, 9, 0.75, 16.0, 5.0, 1000),
        skipped={},
        versions={"torch": "2.0"},
    )
    rows = [
        {"epoch": e, "step": 4 * e + 4, "train/loss": 1 / (e + 1), "val/robust_accuracy": 0.2 * e} for e in range(3)
    ]
    history = History(rows, rows, {"validation": {"<b>set</b>": {"path": "a", "images": 4}}}, 3)
    for name, content, sections in (
        ("job", generation_page(status), ["Speed", "Success on the surrogate", "Shards that failed", "Missing"]),
        ("run", training_page(str(tmp_path), history), ["Accuracy", "Losses", "By epoch", "Sets"]),
    ):
        page = tmp_path / f"{name}.html"
        page.write_bytes(content)
        browser.open(page, width=390)
        assert set(sections) <= set(browser.texts("h2"))
        assert browser.all("b") == []
        for button in browser.all("thead button"):
            browser.run("arguments[0].click()", button)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []
        assert browser.requests == [page.as_uri()]
