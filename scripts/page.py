"""Every table of one data set on one page: methods by networks, then differences on the same pairs, part by part.

    python -m scripts.page --records results/pascal_table/records --data pascal > page.md
    python -m scripts.page --data imagenet --against gradcam --measures energy

Nothing is rerun. First the share of pairs hit, for All and Diff, a network a column, each under its own side. Then,
against each reference, the differences by network and over all of them: under each protocol; on the pairs that the
network finds (its score for the class above 0, as a logistic head means it; class in its top 1, 5); by the object's
share of the picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.command import Command, command
from scripts.selection import RESAMPLES

if TYPE_CHECKING:  # --help needs none of them
    import pandas as pd

    from eval.records.loading import Run
    from eval.tables.rules import Changes

AREAS = (0.0, 1 / 20, 1 / 5, 1.0)
TITLES = {"paper": " (the highest point is inside)", "authors": " (less than 15 px away)"}
NAMES = {"all": "all pairs", "diff": "difficult pairs"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=Path, default=Path("results/records"), metavar="DIR")
    parser.add_argument("--data", required=True, metavar="NAME", help="the data set")
    parser.add_argument("--against", nargs="+", default=["gradcam", "gpnncam"], metavar="METHOD", help="references")
    parser.add_argument("--protocol", nargs="+", default=list(TITLES), metavar="NAME")
    parser.add_argument(
        "--measures", nargs="*", default=[], metavar="NAME", help="deletion, road_morf, ...: also those"
    )
    parser.add_argument("--resamples", type=int, default=RESAMPLES, metavar="B", help="default: %(default)s")


def act(arguments: argparse.Namespace) -> None:
    from eval.records.loading import load_runs, pool, readable, tell_apart

    runs, bad = load_runs(arguments.records)
    runs = pool(readable([run for run in runs if run.dataset == arguments.data], bad))
    for each in bad:
        print(f"left out: {each.folder.name}: {each.why}", file=sys.stderr)
    if not runs:
        raise ValueError(f"{arguments.records} holds no run of the data set {arguments.data!r}")
    tell_apart(runs)
    print("\n\n".join(sections(runs, arguments)))


def sections(runs: list[Run], arguments: argparse.Namespace) -> Iterator[str]:
    """The page's parts in Markdown."""
    from eval.tables.effects import effects, effects_markdown
    from eval.tables.statistics import RULE

    subsets = ("all", "diff") if any(run.rows["difficult"].any() for run in runs) else ("all",)
    for name in arguments.protocol:
        yield f"## {arguments.data}, protocol {name}{TITLES.get(name, '')}: % of pairs hit [95 % interval]"
        yield hits(runs, name, subsets, arguments.resamples)
    notes: dict[str, None] = {}
    for against in arguments.against:
        for text, some, name, subset, changes in parts(runs, subsets, arguments):
            frame = effects(some, changes, against, name, subset, arguments.resamples)
            if len(frame):
                yield f"## Against {against}: {text}"
                *lines, corrected = [line for line in effects_markdown(frame).splitlines() if line]
                yield "\n".join(line for line in lines if line.startswith("|"))
                yield corrected.removeprefix(RULE).strip()
                notes |= dict.fromkeys([*(line for line in lines if line[0] not in "|#"), RULE])
    yield from ("## What the tables say", *notes)


def parts(
    runs: list[Run], subsets: Sequence[str], arguments: argparse.Namespace
) -> Iterator[tuple[str, list[Run], str, str, Changes]]:
    """(title, runs, protocol, subset, changes) of every table of differences."""
    from eval.tables.rules import Changes

    hit = Changes()
    for name in arguments.protocol:
        for subset in subsets:
            yield f"{name}, {NAMES[subset]}", [_under(run, name) for run in runs], name, subset, hit
    name = arguments.protocol[0]
    of_name = [_under(run, name) for run in runs]
    if any((run.info["config"].get("model") or {}).get("head") for run in runs):
        some = _only(of_name, lambda rows: rows["score"] > 0)
        yield f"{name}, pairs whose class the network finds (score above 0)", some, name, "all", hit
    for top in (1, 5):
        some = _only(of_name, lambda rows, top=top: rows["rank"] < top)
        yield f"{name}, pairs whose class is in the network's top {top}", some, name, "all", hit
    for low, high in pairwise(AREAS):
        some = _only(of_name, lambda rows, low=low, high=high: (rows["area"] > low) & (rows["area"] <= high))
        yield f"{name}, objects of {low:.0%} to {high:.0%} of the picture", some, name, "all", hit
    for measure in arguments.measures:
        yield f"{name}, {measure}", of_name, name, "all", Changes(measure=measure)


def _under(run: Run, name: str, rows: pd.DataFrame | None = None) -> Run:
    """The run as if it was started under the protocol of that name, with the input that it has; with `rows` alone."""
    from eval.game.protocol import Input, named_protocol
    from eval.records.loading import Run
    from eval.records.stacked import Batch

    protocol = named_protocol(name)
    if run.model is not None:
        protocol = replace(protocol, input=Input(**run.info["identity"]["input"]))
    made = Run(run.folder, run.info | {"protocols": [asdict(protocol)]}, run.variant, run.shared_label, run.seeds)
    vars(made)["part"] = run.part if rows is None else Batch.of(rows.reset_index(drop=True)).parts()[0]
    return made


def _only(runs: list[Run], keep: Callable[[pd.DataFrame], pd.Series]) -> list[Run]:
    """The runs that read a network, with those of their rows alone that `keep` names; a network's run with the most of
    them says how many there are."""
    import pandas as pd

    seeing = [run for run in runs if run.model is not None]
    some = [_under(run, run.info["protocols"][0]["name"], _kept(run.rows, keep)) for run in seeing]
    pairs: dict[str, dict[str, int]] = {}
    for run in some:
        hard = pd.Series(run.rows.set_index(["key", "label"])["difficult"])
        hard = hard[~hard.index.duplicated()]
        known = pairs.setdefault(str(run.model), {"all": 0, "diff": 0})
        pairs[str(run.model)] = {"all": max(known["all"], len(hard)), "diff": max(known["diff"], int(hard.sum()))}
    for run in some:
        run.info = run.info | {"pairs": pairs[str(run.model)]}
    return some


def _kept(rows: pd.DataFrame, keep: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """The rows that `keep` names; those left of a picture share its whole price."""
    some = rows[keep(rows)].copy()
    for name in ("seconds", "forwards"):
        whole = rows.groupby("key")[name].sum()
        some[name] = some["key"].map(whole).astype(float) / some.groupby("key")["key"].transform("size")
    return some


def hits(runs: list[Run], name: str, subsets: Sequence[str], resamples: int) -> str:
    """Methods down, networks and subsets across; a † marks a cell that does not stand on all pairs."""
    import pandas as pd

    from eval.files.markdown import markdown_table
    from eval.game.protocol import Input, named_protocol
    from eval.tables.cells import table_cells
    from eval.tables.rules import Changes, Rule
    from eval.tables.table import table_frame

    frames = []
    inputs = {str(run.info["identity"]["input"]): run.info["identity"]["input"] for run in runs if run.model}
    for seen in inputs.values():
        some = [run for run in runs if run.model is None or run.info["identity"]["input"] == seen]
        rule = Rule(replace(named_protocol(name), input=Input(**seen)))
        frames.append(table_frame(table_cells(some, Changes(), rule, subsets, resamples)))
    frame = pd.concat(frames, ignore_index=True)
    columns = [(model, subset) for model in sorted(frame["model"].unique()) for subset in subsets]
    lines = [["method", *(f"{model} {subset.capitalize()}" for model, subset in columns)]]
    for label, part in frame.groupby("label", sort=False):
        at = {(line.model, line.subset): line for line in part.itertuples()}
        lines.append([str(label), *(_cell(at.get(column)) for column in columns)])
    return markdown_table(lines)


def _cell(line: Any) -> str:
    if line is None or line.accuracy != line.accuracy:
        return ""
    value = f"{100 * line.accuracy:.1f} [{100 * line.low:.1f}, {100 * line.high:.1f}]"
    value = f"**{value}**" if line.best else value
    return value if line.complete else f"{value} † {line.n:,} of {line.pairs:,}"


main = command(Command("scripts.page", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
