"""What a table says, in words, and whether the paper's says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lit_adv.paper import PAPER_ENSEMBLE, paper_table
from lit_adv.reproduction.experiments import ENSEMBLE, Experiment, pretty
from lit_adv.reproduction.tables import Cell, compared, mean, percent

_NAMED = 6


def findings(experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    """Return sentences: where the order of attacks is the paper's and where not, and how far numbers are apart."""
    return [
        *(_compare(experiment, cells, worse, better) for worse, better in experiment.ahead),
        _means(experiment, cells),
        *_numbers(cells),
    ]


def _compare(experiment: Experiment, cells: Sequence[Cell], worse: str, better: str) -> str:
    """Say on how many black boxes an attack is ahead of another, here and in the paper."""
    seen = {(cell.source, cell.attack, cell.target): cell for cell in compared(experiment, cells)}
    pairs = [(seen[source, worse, target], cell) for (source, attack, target), cell in seen.items() if attack == better]
    behind = [(a, b) for a, b in pairs if b.success <= a.success]
    gains = [100 * (b.success - a.success) for a, b in pairs]
    where = "defenses" if experiment.defended else "black-box cells"
    said = (
        f"{pretty(better)} is ahead of {pretty(worse)} on {len(pairs) - len(behind)} of {len(pairs)} {where} "
        f"({min(gains):+.1f} to {max(gains):+.1f} points{_papers_gains(experiment, worse, better)})"
        if pairs
        else f"There is no black box to compare {pretty(better)} with {pretty(worse)} on"
    )
    if not behind:
        return f"{said}."
    named = [
        f"{b.source} to {b.target}, {percent(b.success)} against {percent(a.success)}"
        + (" (the intervals overlap)" if a.low <= b.high else "")
        for a, b in behind
    ]
    more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{said}. Unlike the paper, it is not ahead on: {'; '.join(named[:_NAMED])}{more}."


def _papers_gains(experiment: Experiment, worse: str, better: str) -> str:
    """Say the same of the paper's table, as far as it can be read; its white boxes are the surrogates' own columns."""
    table = _black_boxes(experiment)
    gains = [
        100 * (success - table[source, worse, target])
        for (source, attack, target), success in table.items()
        if attack == better and (source, worse, target) in table
    ]
    ahead = sum(gain > 0 for gain in gains)
    return f"; the paper, with its models: {ahead} of {len(gains)}, {min(gains):+.1f} to {max(gains):+.1f}"


def _means(experiment: Experiment, cells: Sequence[Cell]) -> str:
    """Put each attack's mean beside the paper's."""
    table, texts = _black_boxes(experiment), []
    for attack in experiment.attacks:
        ours = mean([cell for cell in compared(experiment, cells) if cell.attack == attack])
        theirs = [success for (_, name, _), success in table.items() if name == attack]
        here = "none" if ours is None else percent(ours)
        texts.append(f"{pretty(attack)} {here} (paper {percent(sum(theirs) / len(theirs))})")
    over = "all defenses" if experiment.defended else "all black-box cells"
    return f"Mean success over {over}, in %: {', '.join(texts)}."


def _numbers(cells: Sequence[Cell]) -> Iterator[str]:
    """Say how many of the paper's numbers lie in the intervals of ours."""
    known = [(cell, cell.paper) for cell in cells if cell.paper is not None]
    if not known:
        yield "The paper has other models or other settings, so that no number of its stands beside a single cell."
        return
    inside = [cell for cell, paper in known if cell.low <= paper <= cell.high]
    cell, paper = max(known, key=lambda pair: abs(pair[0].success - pair[1]))
    yield (
        f"{len(inside)} of the paper's {len(known)} numbers lie within the 95 % interval of ours; furthest apart is "
        f"{pretty(cell.attack)} from {cell.source} on {cell.target}, {percent(cell.success)} here and {percent(paper)} "
        "in the paper."
    )


def _black_boxes(experiment: Experiment) -> dict[tuple[str, str, str], float]:
    """Return the paper's numbers on models that the attack did not see, in shares.

    Some numbers cannot be read. Where one attack's is missing, the others' are left out: means are of the same cells.
    """
    attacked = {ENSEMBLE: PAPER_ENSEMBLE}
    table = paper_table(experiment.name.removeprefix("table"))
    return {
        (source, attack, target): success
        for (source, attack, target), success in table.items()
        if target not in attacked.get(source, {source})
        and all((source, other, target) in table for other in experiment.attacks)
    }
