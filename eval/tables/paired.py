"""Methods against each other on the same pairs, corrected for how many comparisons were made."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from eval.files.places import near
from eval.records.loading import Run
from eval.tables.cells import SUBSETS, Cell, by_rule, models_of
from eval.tables.counted import Scope, scope_of, selected, shared
from eval.tables.exchange import even, gaps, rejects, verdicts
from eval.tables.layout import place
from eval.tables.resampling import RESAMPLES
from eval.tables.rules import Changes, Rule
from eval.tables.statistics import holm, paired_test

COLUMNS = [
    "protocol", "dataset", "model", "subset", "method_a", "method_b", "n", "pictures", "left_out", "accuracy_a",
    "accuracy_b", "difference", "low", "high", "only_a", "only_b", "exchange", "exchange_holm", "mcnemar",
    "mcnemar_holm",
    "measure", "rule", "label_a", "label_b", "complete", "differing", "resolves", "needed", "shown",
]  # fmt: skip


def chosen(runs: list[Run], names: list[str]) -> list[list[Run]]:
    """For each name its runs: "gpnncam" means all its variants, "gpnncam [n=5]" that one; label or name, any case.

    ValueError for a name that no run has.
    """
    groups = []
    for name in names:
        plain = _plain(name)
        runs_of = [run for run in runs if plain in {_plain(text) for text in _names(run)}]
        if not runs_of:
            apart = "; names are separated by blanks" if "," in name and "[" not in name else ""
            raise ValueError(f"there is no run of {name!r}; near names: {near(name, {r.method for r in runs})}{apart}")
        groups.append(runs_of)
    return groups


def _names(run: Run) -> list[str]:
    return [run.method, run.label, run.info["method"], run.info.get("label") or ""]


def _plain(name: str) -> str:
    return name.lower().replace(" ", "")


def paired_table(
    runs: list[Run],
    names: list[str] | None,
    changes: Changes,
    rule: Rule | None = None,
    subsets: Sequence[str] = SUBSETS,
    resamples: int = RESAMPLES,
    against: str | None = None,
) -> pd.DataFrame:
    """A line for every two methods of one protocol, data set, network and subset; COLUMNS.

    names: which methods (see `chosen`), each against each other in that order; None: all. against: each only against
    the runs of that name, which then stand second. A comparison stands on the pairs that both have; `left_out` counts
    pairs of the data set, or of the network's top k, without; `complete`: it is known that there are none. difference:
    average of A minus B's. shown: the exchange test rejects after Holm's correction over all lines.
    """
    wanted = [run for group in chosen(runs, names) for run in group] if names else list(runs)
    reference = chosen(runs, [against])[0] if against else []
    wanted = list(dict.fromkeys([*wanted, *reference]))
    lines = []
    for each, of_rule in by_rule(runs, changes, rule):
        methods = [run for run in wanted if run in of_rule]
        if not names:
            methods.sort(key=lambda run: place(run.method))
        for a, b in _couples(methods, reference):
            if a.dataset != b.dataset:
                continue
            for model in sorted(set(models_of(a, of_rule)) & set(models_of(b, of_rule))):
                scopes = [scope_of(run, model, of_rule, each.top_k) for run in (a, b)]
                for subset in subsets:
                    line = _line(a, b, each, model, subset, scopes, resamples)
                    lines += [line] if line else []
    frame = pd.DataFrame(lines, columns=COLUMNS).astype({"only_a": "Int64", "only_b": "Int64", "mcnemar": float})
    for test in ("mcnemar", "exchange"):
        frame[f"{test}_holm"] = holm(frame[test])
    frame["shown"] = rejects(frame["exchange_holm"])
    return frame.sort_values(["protocol", "dataset", "model", "subset"], kind="stable").reset_index(drop=True)


def _couples(methods: list[Run], reference: list[Run]) -> Iterator[tuple[Run, Run]]:
    if not reference:
        return itertools.combinations(methods, 2)
    others = [run for run in methods if run not in reference]
    return itertools.product(others, [run for run in methods if run in reference])


def _line(a: Run, b: Run, rule: Rule, model: str, subset: str, scopes: list[Scope], resamples: int) -> dict | None:
    sides = [selected(run, rule, subset, model, scope) for run, scope in zip((a, b), scopes, strict=True)]
    keys, labels, values = shared(*sides)
    if not len(values):
        return None
    classes = labels if rule.protocol.average == "class" else None
    result = paired_test(keys, values[:, 0], values[:, 1], classes, resamples=resamples, span=rule.span)
    expected = [each.expected for each in sides if each.expected is not None]
    there = max(expected or [len(each.pairs.dropna()) for each in sides])
    return {
        "protocol": rule.label,
        "dataset": a.dataset,
        "model": model,
        "subset": subset,
        "method_a": a.method,
        "method_b": b.method,
        "n": len(values),
        "pictures": keys.nunique(),
        "left_out": there - len(values),
        "accuracy_a": result.average_a,
        "accuracy_b": result.average_b,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "only_a": result.only_a,
        "only_b": result.only_b,
        "mcnemar": result.mcnemar,
        "exchange": result.exchange,
        "measure": rule.measure,
        "rule": rule.words,
        "label_a": a.label,
        "label_b": b.label,
        "complete": bool(expected) and there == len(values),
        "differing": result.differing,
        "resolves": result.resolves,
        "needed": result.needed,
    }


def like_the_best(cells: list[Cell], resamples: int = RESAMPLES) -> list[Cell]:
    """The complete cells that are not shown to be below the best of their column (protocol, data set, network, subset).

    Each is compared with the best as in `paired_table`; Holm's correction is over the column. A cell as high as the
    best is best itself.
    """
    columns: dict[tuple, list[Cell]] = {}
    for cell in cells:
        if cell.complete and np.isfinite(cell.accuracy) and cell.rule.score.ranked:
            columns.setdefault((cell.rule.label, *cell.column), []).append(cell)
    alike = []
    for column in columns.values():
        sign = -1 if column[0].rule.score.less_is_better else 1
        best = max(column, key=lambda cell: even(sign * cell.accuracy))
        others = [cell for cell in column if even(cell.accuracy) != even(best.accuracy)]
        apart = rejects(holm(_exchanged(best, others, resamples)))
        alike += [cell for cell, distinct in zip(others, apart, strict=True) if not distinct]
    return alike


def _exchanged(best: Cell, others: list[Cell], resamples: int) -> list[float]:
    """For each other the p of the exchange test against the best; nan without a common pair."""
    found = {}
    for number, other in enumerate(others):
        keys, labels, values = shared(best.chosen, other.chosen)
        if len(values):
            classes = labels if best.rule.protocol.average == "class" else None
            found[number] = gaps(keys, values[:, 0], values[:, 1], classes)
    p_values = [np.nan] * len(others)
    for number, verdict in zip(found, verdicts(list(found.values()), resamples=resamples), strict=True):
        p_values[number] = verdict.p
    return p_values
