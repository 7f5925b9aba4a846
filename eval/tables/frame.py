"""Rows in pandas, with what measures make of them, and methods compared from such frames."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from eval.files.places import near
from eval.game.protocol import named_protocol
from eval.records.loading import Run, load_run, load_runs, tell_apart
from eval.records.observations import written
from eval.tables.exchange import rejects
from eval.tables.layout import place as place_of
from eval.tables.paired import COLUMNS
from eval.tables.resampling import RESAMPLES
from eval.tables.rules import Changes, Rule, observed_rules, rules_of
from eval.tables.scores import learn_scores
from eval.tables.sentence import sentence
from eval.tables.statistics import holm, paired_test

# The columns about the run of each row; those of eval/records/schema.py follow.
ORIGIN = ("run", "dataset", "model", "method", "method_label", "seed")


def frame_of(place: str | Path, measures: Sequence[str] = ()) -> pd.DataFrame:
    """All rows of a run's folder, or of all runs in a folder of runs ("results/records"), a line per (picture, class).

    Args:
        place: the folder.
        measures: scores, as `scripts.table --measure` names them; of one that was observed under several settings a
            column each, "deletion [step=224]". NaN: not observed.

    Returns:
        A frame: ORIGIN, then the columns of docs/columns.md, then `measures`. Keys of digits stay texts.

    Raises:
        ValueError: names what cannot be read; among several runs none is left out.
        FileNotFoundError: the folder holds no run.

    >>> frame_of("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    place = Path(place)
    if (place / "run.json").is_file():
        runs = [load_run(place)]
    else:
        runs, bad = load_runs(place)
        if bad:
            raise ValueError(f"{bad[0].folder}: {bad[0].why}")
    tell_apart(runs)
    frames = [_labelled(run) for run in runs]
    for name in measures:
        learn_scores(name, runs)
        found = observed_rules([(run, rules_of(run, Changes(measure=name))[0]) for run in runs])
        if not found:
            raise ValueError(f"no run has observations of {name}: `python run.py measure=NAME method=...` adds them")
        for run, rule in found:
            frame = frames[runs.index(run)]
            pairs = pd.MultiIndex.from_frame(frame[["key", "label"]])
            networks = [run.model or ""] if run.model or not rule.observed else sorted(networks_of(run, rule))
            for model in networks:
                rows = rule.rows(run, model)
                setting = ", ".join(filter(None, [rule.setting, model * (len(networks) > 1)]))
                values = pd.Series(rule.values(rows), pd.MultiIndex.from_frame(rows[["key", "label"]]), dtype=float)
                frame[f"{name} [{setting}]" if setting else name] = values.reindex(pairs).to_numpy()
    return pd.concat(frames, ignore_index=True)


def networks_of(run: Run, rule: Rule) -> set[str]:
    """The networks that a measure read for a run whose method reads none."""
    return {each.network for each in run.observations if each.network and written(each.part) == rule.observed}


def compare(
    frame: pd.DataFrame, measure: str = "hit", against: str | None = None, protocol: str = "paper",
    resamples: int = RESAMPLES,
) -> pd.DataFrame:  # fmt: skip
    """A line for every two methods of a frame on each of its data sets and networks, as `scripts.compare` has them.

    Args:
        frame: rows of `frame_of`, or several of `score` one below the other with a column "method"; of several seeds
            the mean counts. Select rows first: frame[frame["difficult"]].
        measure: a column of `frame_of(..., measures=[...])`, or a score that every row has.
        against: compare each method with this one only; by name or label.
        protocol: a name in conf/protocol, whose hits count.
        resamples: sets of pictures drawn.

    Returns:
        The columns of `scripts.compare --format csv`, then `sentence`. difference: A minus B; exchange_holm: p,
        corrected for all lines. left_out counts pairs that only one of the two has.

    Raises:
        ValueError: names a column or method that is missing.

    >>> hits = [("a", key, key < "5") for key in "0123456789"] + [("b", key, key < "1") for key in "0123456789"]
    >>> frame = pd.DataFrame(hits, columns=["method", "key", "hit"]).assign(label="cat")
    >>> compare(frame)[["difference", "n"]].values.tolist()
    [[0.4, 10.0]]
    """
    if missing := [name for name in ("method", "key", "label") if name not in frame]:
        raise ValueError(f"the frame has no column {missing[0]!r}; pd.concat([a.assign(method='a'), ...]) makes one")
    rule, label = Rule(named_protocol(protocol), measure.partition(" [")[0]), frame["method"].astype(str)
    values = frame[measure] if measure in frame else rule.values(frame)
    nothing = pd.Series(None, frame.index, dtype=object)
    table = pd.DataFrame(
        {name: frame.get(name, nothing).fillna("") for name in ("dataset", "model")}
        | {"method": label, "name": frame.get("method_label", label), "key": frame["key"], "label": frame["label"],
           "value": np.asarray(values, float)}
    )  # fmt: skip
    known = {*table["method"], *table["name"]}
    if against is not None and against not in known:
        raise ValueError(f"the frame has no method {against!r}; near names: {near(against, known)}")
    lines = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for model in [name for name in rows["model"].unique() if name] or [""]:
            here = rows[rows["model"].isin([model, ""])]
            wide = here.pivot_table("value", ["key", "label"], "method", "mean")
            wide = wide.reindex(pd.MultiIndex.from_frame(here[["key", "label"]]).unique())[sorted(wide, key=place_of)]
            names = dict(zip(here["method"], here["name"], strict=True))
            of_reference = [name for name in wide if against in (name, names[name])]
            couples = itertools.product([name for name in wide if name not in of_reference], of_reference)
            for a, b in couples if against else itertools.combinations(wide, 2):
                lines += _compared(wide[[a, b]], rule, resamples, dataset=dataset, model=model, method_a=a, method_b=b,
                                   label_a=names[a], label_b=names[b])  # fmt: skip
    if not lines:
        raise ValueError(f"no two methods of the frame have values of {measure} for one pair")
    found = pd.DataFrame(lines, columns=COLUMNS)
    for test in ("mcnemar", "exchange"):
        found[f"{test}_holm"] = holm(found[test].astype(float))
    found["shown"] = rejects(found["exchange_holm"])
    return found.assign(sentence=[sentence(line) for line in found.itertuples()])


def _compared(sides: pd.DataFrame, rule: Rule, resamples: int, **about: str) -> list[dict]:
    both = sides.dropna()
    if both.empty:
        return []
    keys, labels = (both.index.get_level_values(name).to_series() for name in ("key", "label"))
    classes = labels if rule.protocol.average == "class" else None
    a, b = both.to_numpy().T
    result = paired_test(keys, a, b, classes, resamples=resamples, span=rule.span)
    line = asdict(result) | {"accuracy_a": result.average_a, "accuracy_b": result.average_b, "subset": ""}
    left_out = len(sides) - len(both)
    counted = {"n": len(both), "pictures": keys.nunique(), "left_out": left_out, "complete": not left_out}
    return [line | counted | about | {"protocol": rule.label, "measure": rule.measure, "rule": rule.words}]


def _labelled(run: Run) -> pd.DataFrame:
    rows = run.rows.copy()
    values = (run.folder.name, run.dataset, run.model, run.method, run.label, run.info["identity"]["seed"])
    for place, (name, value) in enumerate(zip(ORIGIN, values, strict=True)):
        rows.insert(place, name, value)
    return rows
