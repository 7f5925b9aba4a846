"""What a setting changes, across inputs and networks: every method under every input against one of them.

A table never mixes inputs, since numbers under different ones are not one protocol's. Here they stand side by side
as differences on the same pairs, each with its price in passes of 224 x 224.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.files.markdown import markdown_table
from eval.files.words import several
from eval.game.protocol import Input
from eval.records.loading import Run
from eval.tables.cells import Scope, by_rule, selected
from eval.tables.exchange import rejects
from eval.tables.formats import DAGGER, decimal, decimals, signed
from eval.tables.layout import named, place
from eval.tables.paired import chosen
from eval.tables.resampling import RESAMPLES
from eval.tables.rules import Changes, Rule, own_side
from eval.tables.scores import SCORES
from eval.tables.statistics import RULE, holm, paired_test

COLUMNS = [
    "dataset", "model", "method", "label", "protocol", "passes", "n", "left_out", "pictures", "accuracy", "reference",
    "difference", "low", "high", "rule", "p", "p_holm", "shown", "complete", "against", "measure", "top_k", "subset",
]  # fmt: skip
UNIT = 224 * 224  # pixels of the pass that prices are counted in


@dataclass(frozen=True)
class Arm:
    """A method under one rule, with its runs by network."""

    dataset: str
    method: str
    label: str
    rule: Rule
    runs: dict[str, Run]


def effects(
    runs: list[Run],
    changes: Changes,
    against: str,
    protocol: str | None = None,
    subset: str = "all",
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """A line for every arm but the reference, for each network and for all that both have together; COLUMNS.

    against, protocol: the reference's method and the label of its rules; None: there is one. The pairs are those that
    count for the reference: with changes.top_k its network's top k. `left_out` counts pairs of the data set, or of that
    top k, that are missing on either side. Over several networks a picture's answers of all networks are exchanged
    together; p_holm is corrected for all lines. A network that has rows at its own side alone (see `own_side`) stands
    under the protocol as it is named. ValueError where no run, or more than one rule, is the reference's.
    """
    top_k, plain = changes.top_k, Changes(changes.tolerance, changes.average, changes.measure)
    arms: list[Arm] = []
    scored = [
        (rule, run, str(run.model))
        for rule, of_rule in by_rule(runs, plain)
        for run in of_rule
        if run.model is not None
    ]
    labels = {(rule.label, run.dataset, model) for rule, run, model in scored}
    for rule, run, model in scored:
        usual = own_side(rule, run)
        rule = rule if (usual.label, run.dataset, model) in labels else usual
        same = [arm for arm in arms if arm.rule == rule and (arm.dataset, arm.method) == (run.dataset, run.method)]
        if not same:
            arms.append(Arm(run.dataset, run.method, run.label, rule, {}))
        (same or arms[-1:])[0].runs[model] = run
    names = {run.method for run in chosen(runs, [against])[0]}
    references = [arm for arm in arms if arm.method in names and protocol in (None, arm.rule.label)]
    lines = []
    for dataset in dict.fromkeys(arm.dataset for arm in arms):
        here = [arm for arm in references if arm.dataset == dataset]
        if len(here) != 1:
            listed = "; ".join(f"{arm.method} under {arm.rule.label}" for arm in here) or "none"
            raise ValueError(f"{dataset}: the reference must be one method under one protocol, not {listed}")
        others = [arm for arm in arms if arm.dataset == dataset and arm is not here[0]]
        for arm in sorted(others, key=lambda arm: (place(arm.method), _area(arm))):
            lines += _lines(arm, here[0], subset, top_k, resamples)
    frame = pd.DataFrame(lines, columns=COLUMNS)
    frame["p_holm"] = holm(frame["p"])
    frame["shown"] = rejects(frame["p_holm"])
    return frame.astype({"top_k": "Int64"})


def _lines(arm: Arm, reference: Arm, subset: str, top_k: int | None, resamples: int) -> list[dict]:
    parts: dict[str, pd.DataFrame] = {}
    left: dict[str, int | None] = {}
    for model in sorted(set(arm.runs) & set(reference.runs)):
        sides = []
        for each, k in ((arm, None), (reference, top_k)):
            run = each.runs[model]
            rule = Rule(each.rule.protocol, each.rule.measure, k, each.rule.observed, each.rule.setting)
            sides.append(selected(run, rule, subset, model, Scope(run.info["pairs"])))
        both = pd.concat([side.pairs.dropna() for side in sides], axis=1, join="inner", keys=["a", "b"]).sort_index()
        expected = sides[1].expected
        if top_k is None:
            expected = max(side.expected or 0 for side in sides)
        left[model] = None if expected is None else expected - len(both)
        if len(both):
            parts[model] = both
    groups = [[model] for model in parts] + ([list(parts)] if len(parts) > 1 else [])
    about = {"against": f"{reference.label} under {reference.rule.label}", "top_k": top_k, "subset": subset}
    return [about | _line(arm, models, [parts[each] for each in models], left, resamples) for models in groups]


def _line(
    arm: Arm, models: Sequence[str], parts: list[pd.DataFrame], left: dict[str, int | None], resamples: int
) -> dict:
    both = pd.concat(parts)
    keys, labels = both.index.get_level_values("key"), both.index.get_level_values("label")
    classes = labels if arm.rule.protocol.average == "class" else None
    result = paired_test(keys, both["a"], both["b"], classes, resamples=resamples, span=arm.rule.span)
    return {
        "dataset": arm.dataset,
        "model": models[0] if len(models) == 1 else f"all {len(models)}",
        "method": arm.method,
        "label": arm.label,
        "protocol": arm.rule.label,
        "passes": sum(_passes(arm.runs[model]) for model in models) / len(models),
        "n": len(both),
        "left_out": sum(left[model] or 0 for model in models),
        "complete": all(left[model] == 0 for model in models),
        "pictures": keys.nunique(),
        "accuracy": result.average_a,
        "reference": result.average_b,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "rule": arm.rule.words,
        "measure": arm.rule.measure,
        "p": result.exchange,
    }


def _passes(run: Run) -> float:
    """Passes of 224 x 224 for a picture: a row counts those of the protocol's input. Of several seeds the mean."""
    if run.seeds:
        return sum(_passes(each) for each in run.seeds) / len(run.seeds)
    pixels = Input(**run.info["identity"]["input"])
    sizes = [pixels.size(width, height) for width, height in zip(run.rows["width"], run.rows["height"], strict=True)]
    areas = pd.Series([width * height for width, height in sizes], run.rows.index)
    return float((run.rows["forwards"] * areas).sum() / UNIT / max(1, run.rows["key"].nunique()))


def _area(arm: Arm) -> tuple[int, str]:
    return arm.rule.protocol.input.side, arm.rule.label


def effects_markdown(frame: pd.DataFrame) -> str:
    """A table for each data set, a line for each arm: the difference over all networks, then by network; intervals of
    differences that are shown are bold."""
    blocks = []
    for dataset, of_data in frame.groupby("dataset", sort=False):
        models = sorted(dict.fromkeys(of_data["model"]), key=lambda model: (not model.startswith("all "), model))
        lines = [["method", "protocol", "passes", "pairs", *(named(model) for model in models)]]
        lines.append([f"*{of_data['against'].iloc[0]}*", "", "", "", *(_reference(of_data, each) for each in models)])
        for (_, protocol), part in of_data.groupby(["method", "protocol"], sort=False):
            by_model = {line.model: line for line in part.itertuples()}
            widest = max(by_model.values(), key=lambda line: line.n)
            cells = [_difference(by_model[model]) if model in by_model else "" for model in models]
            lines.append([widest.label, protocol, decimal(widest.passes, 1), _pairs(widest), *cells])
        first = of_data.iloc[0]
        score, top = SCORES[first["measure"]], first["top_k"]
        head = f"{named(dataset)} {named(first['subset'])}: differences to {first['against']}"
        top = "" if pd.isna(top) else f"; only classes in the top {top} of the reference's network"
        rank = f", {'less' if score.less_is_better else 'more'} is better" if score.ranked else ""
        unit = "points (hundredths)" if score.unit == "share" else score.unit
        blocks += [f"### {head}", "", f"{score.name} ({score.what}){rank}; in {unit}{top}.", "", markdown_table(lines)]
        blocks += ["", "In a cell: the value, its difference to the reference on the pairs that both have, and the "
                   "difference's 95 % interval; passes are of 224 x 224 pixels, a picture.", ""]  # fmt: skip
        blocks += [f"{DAGGER} incomplete: not on all pairs of the network.", ""] * (not of_data["complete"].all())
    return "\n".join([*blocks, f"{RULE} Holm: corrected for {several(len(frame), 'comparison')}."]) + "\n"


def _pairs(line: Any) -> str:  # a row of a frame
    least = "" if line.complete or line.left_out else "at least "
    return f"{line.n:,}" + ("" if line.complete else f" (of {least}{line.n + line.left_out:,})")


def _scaled(line: Any) -> tuple[float, int]:
    """(what a value is multiplied by, decimals after that)."""
    return (100, 1) if SCORES[line.measure].unit == "share" else (1, decimals(line.measure, 3))


def _reference(frame: pd.DataFrame, model: str) -> str:
    """The reference's value on the most pairs that any arm shares with it."""
    widest = max(frame[frame["model"] == model].itertuples(), key=lambda line: line.n)
    scale, digits = _scaled(widest)
    return decimal(scale * widest.reference, digits)


def _difference(line: Any) -> str:
    scale, digits = _scaled(line)
    bounds = "–" if pd.isna(line.low) else f"[{signed(scale * line.low, digits)}, {signed(scale * line.high, digits)}]"
    bounds = f"**{bounds}**" if line.shown else bounds
    mark = "" if line.complete else f" {DAGGER} {_pairs(line)}"
    return f"{decimal(scale * line.accuracy, digits)}: {signed(scale * line.difference, digits)} {bounds}{mark}"
