"""Which measure can be believed? From rows alone: whether it tells maps from controls, orders methods alike on other
pictures, networks and data sets, says the same as other measures, and how small a difference it can show."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from eval.game.protocol import Input, Protocol
from eval.measures.measure import Score
from eval.records.loading import Run
from eval.tables.cells import Cell, table_cells
from eval.tables.orders import SURE, Samples, influence, mean_of, pictures_needed, spearman, standard_ranks
from eval.tables.resampling import kinds
from eval.tables.rules import Changes, Rule
from eval.tables.scores import SCORES

CONTROLS = ("random", "random_map", "center", "center_map", "other_class", "other_picture")
SPLITS = 200
BLOCK = 5000  # pictures whose multipliers are drawn at a time
POWER = SURE + 0.841621  # standard errors of a difference that a test at 5 % shows in 80 % of samples
COLUMNS = ["dataset", "model", "measure", "question", "other", "value", "low", "high", "n"]


@dataclass(frozen=True, eq=False)
class Board:
    """One measure on one data set and network, on the pairs that all methods have a value of.

    names: of the methods (M,), controls among them. family: of each the control's name, "" for a real method. of: of
    each control the method whose map it shows, "" where it shows none. keys, labels (n,): of the pairs; classes: labels
    where the average is over classes. values (n,M): more is better. left_out: pairs that some method has and some not.
    """

    dataset: str
    model: str
    measure: str
    score: Score
    names: tuple[str, ...]
    family: tuple[str, ...]
    of: tuple[str, ...]
    keys: np.ndarray
    classes: np.ndarray | None
    labels: np.ndarray
    values: np.ndarray
    left_out: int
    resamples: int = field(default=1000, repr=False)

    @cached_property
    def real(self) -> list[int]:
        """Columns of the methods that are no control."""
        return [place for place, family in enumerate(self.family) if not family]

    @property
    def methods(self) -> list[str]:
        """Names of the methods that are no control."""
        return [self.names[place] for place in self.real]

    @cached_property
    def averages(self) -> np.ndarray:
        """(M,) of the data."""
        return kinds(self.keys, self.values, self.classes).observed

    @cached_property
    def influence(self) -> np.ndarray:
        """(P,M): how much each picture moves the averages; their sum is 0."""
        return influence(self.keys, self.values, self.classes)

    @cached_property
    def redrawn(self) -> np.ndarray:
        """(B,M): averages as other pictures would give them, to first order: each picture's influence is multiplied
        by a number of mean 0 and deviation 1, the same for all methods."""
        moved = np.zeros((self.resamples, self.values.shape[1]))
        for start in range(0, len(self.influence), BLOCK):
            part = self.influence[start : start + BLOCK]
            moved += np.random.default_rng(start).standard_normal((self.resamples, len(part))) @ part
        return self.averages + moved

    def error(self, one: int, other: int) -> float:
        """Standard error of the difference of two methods' averages; pictures vary."""
        return float(np.linalg.norm(self.influence[:, one] - self.influence[:, other]))

    @cached_property
    def ranks(self) -> np.ndarray:
        """(n,real) of the real methods within each pair, in mean 0 and length 1; NaN where all are equal."""
        return standard_ranks(self.values[:, self.real])


def boards(
    runs: list[Run], protocol: Protocol, measures: Sequence[str], subset: str = "all", top_k: int | None = None,
    resamples: int = 1000,
) -> list[Board]:  # fmt: skip
    """A board for each measure, setting of it, data set and network with three methods or more that are no controls.
    protocol: its rules; each network saw the input that its runs had."""
    made = []
    inputs = {str(run.info["identity"]["input"]): run.info["identity"]["input"] for run in runs if run.model}
    for name, seen in itertools.product(measures, inputs.values()):
        groups: dict[tuple[str, str, str], list[Cell]] = {}
        some = [run for run in runs if run.model is None or run.info["identity"]["input"] == seen]
        rule = Rule(replace(protocol, input=Input(**seen)), name, top_k)
        for cell in table_cells(some, Changes(), rule, (subset,), resamples=0):
            if np.isfinite(cell.accuracy):
                groups.setdefault((cell.run.dataset, cell.model, cell.rule.setting), []).append(cell)
        for (dataset, model, setting), cells in groups.items():
            if model and sum(not _family(cell.run) for cell in cells) >= 3:
                made.append(_board(dataset, model, f"{name} [{setting}]" if setting else name, cells, resamples))
    return [board for board in made if len(board.values)]


def _board(dataset: str, model: str, measure: str, cells: list[Cell], resamples: int) -> Board:
    columns = [cell.chosen.pairs for cell in cells]
    if all(each.index.equals(columns[0].index) for each in columns[1:]):
        index, values = columns[0].index, np.column_stack([each.to_numpy() for each in columns])
    else:
        both = pd.concat(columns, axis=1, join="inner")
        index, values = both.index, both.to_numpy()
    keys, labels = (index.get_level_values(name).to_numpy() for name in ("key", "label"))
    rule = cells[0].rule
    scale = -1 if rule.score.less_is_better else 1
    return Board(
        dataset, model, measure, rule.score, tuple(cell.run.method for cell in cells),
        tuple(_family(cell.run) for cell in cells), tuple(_of(cell.run) for cell in cells), keys,
        labels if rule.protocol.average == "class" else None, labels, scale * values,
        max(map(len, columns)) - len(values), resamples,
    )  # fmt: skip


def _family(run: Run) -> str:
    return run.info["method"] if run.info["method"] in CONTROLS else ""


def _of(run: Run) -> str:
    return str(run.info["identity"]["method"].get("of") or "")


def reliability(all_boards: list[Board], splits: int = SPLITS) -> pd.DataFrame:
    """COLUMNS: an answer a line, to these questions (`other`: to what it refers):

    above: probability that a real method's value of a pair is better than a control's, a tie counts half.
    methods_above: share of real methods whose average is above the control's, the interval of the difference without 0.
    halves: rank correlation of the methods' averages between two disjoint samples of `other` pictures each.
    pictures: how many it takes for a correlation of STANDS; `other` "extrapolated" where the data have fewer.
    networks, data sets: rank correlation of the averages with those on another network, or data set.
    measures, within: rank correlation of two measures over methods' averages, and the mean of those within pairs.
    detectable: the difference of two methods that these pictures show in 80 % of samples; spread: best minus worst.
    """
    lines: list[dict] = []
    for board in all_boards:
        for question, other, value, low, high, n in _alone(board, splits):
            lines.append(_line(board, question, other, value, low, high, n))
    for one, other in itertools.combinations(all_boards, 2):
        same = [one.measure == other.measure, one.dataset == other.dataset, one.model == other.model]
        if sum(same) != 2 or not (shared := _shared(one, other)):
            continue
        averages = (*_of_averages(one, other, shared), len(shared))
        within = None if same[0] else _within(one, other, shared)
        for board, beside in ((one, other), (other, one)):
            if within:
                lines.append(_line(board, "measures", beside.measure, *averages))
                lines.append(_line(board, "within", beside.measure, *within))
            elif same[1]:
                lines.append(_line(board, "networks", beside.model, *averages))
            else:
                lines.append(_line(board, "data sets", beside.dataset, *averages))
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(board: Board, question: str, other: object, value: float, low: float, high: float, n: int) -> dict:
    about = [board.dataset, board.model, board.measure, question, str(other)]
    return dict(zip(COLUMNS, [*about, float(value), float(low), float(high), int(n)], strict=True))


Answer = tuple[str, object, float, float, float, int]


def _alone(board: Board, splits: int) -> Iterator[Answer]:
    for family in dict.fromkeys(filter(None, board.family)):
        yield from _discrimination(board, family)
    curve = halves(board, splits)
    for pictures, values in curve:
        low, high = np.quantile(values, (0.025, 0.975))
        yield "halves", pictures, values.mean(), low, high, pictures
    needed, extrapolated = pictures_needed([(pictures, values.mean()) for pictures, values in curve])
    total = len(board.influence)
    yield "pictures", "extrapolated" if extrapolated else "", needed, np.nan, np.nan, total
    errors = [board.error(*pair) for pair in itertools.combinations(board.real, 2)]
    yield "detectable", "", POWER * float(np.median(errors)), POWER * min(errors), POWER * max(errors), total
    yield "spread", "", np.ptp(board.averages[board.real]), np.nan, np.nan, len(board.real)


def _discrimination(board: Board, family: str) -> Iterator[Answer]:
    """Each control of the family against the method whose map it shows; one that shows none, against all."""
    couples = [
        (place, control) for control, name in enumerate(board.family) if name == family for place in board.real
        if board.of[control] not in board.methods or board.of[control] == board.names[place]
    ]  # fmt: skip
    one, other = (board.values[:, [couple[side] for couple in couples]] for side in (0, 1))
    better = ((one > other) + (one == other) / 2).mean(1)
    yield "above", family, *mean_of(board.keys, better, board.classes), len(better)
    above = [board.averages[a] - board.averages[b] > SURE * board.error(a, b) for a, b in couples]
    yield "methods_above", family, float(np.mean(above)), np.nan, np.nan, len(couples)


def halves(board: Board, splits: int = SPLITS, seed: int = 0) -> list[tuple[int, np.ndarray]]:
    """(pictures in each of two disjoint samples, (splits,) rank correlations of the real methods' averages), doubling
    up to half of the pictures; samples in which all methods are equal order none and count as 0."""
    groups = Samples(board.keys, board.values[:, board.real], board.classes)
    total = groups.pictures
    half = total // 2
    sizes = sorted({half >> shift for shift in range(half.bit_length())} - {0}) if half else []
    sizes = [size for size in sizes if size >= min(8, half)]
    draw = np.random.default_rng(seed)
    found: dict[int, list[np.ndarray]] = {size: [] for size in sizes}
    block = max(1, 2_000_000 // max(1, total))
    for start in range(0, splits, block):
        order = draw.permuted(np.tile(np.arange(total), (min(block, splits - start), 1)), axis=1)
        for size in sizes:
            parts = [groups.averages(_counted(order[:, at : at + size], total)) for at in (0, half)]
            found[size].append(spearman(*parts))
    return [(size, np.nan_to_num(np.concatenate(found[size]))) for size in sizes]


def _counted(chosen: np.ndarray, total: int) -> np.ndarray:
    weights = np.zeros((len(chosen), total))
    np.put_along_axis(weights, chosen, 1, axis=1)
    return weights


def _shared(one: Board, other: Board) -> list[str]:
    shared = [name for name in one.methods if name in other.methods]
    return shared if len(shared) >= 3 else []


def _of_averages(one: Board, other: Board, shared: list[str]) -> tuple[float, float, float]:
    """(rank correlation, its percentile interval) of two boards' averages, redrawn in both."""
    at = [[board.names.index(name) for name in shared] for board in (one, other)]
    value = spearman(one.averages[None, at[0]], other.averages[None, at[1]])[0]
    low, high = np.quantile(np.nan_to_num(spearman(one.redrawn[:, at[0]], other.redrawn[:, at[1]])), (0.025, 0.975))
    return value, low, high


def _within(one: Board, other: Board, shared: list[str]) -> tuple[float, float, float, int]:
    """(mean over pairs of the rank correlation of two measures over methods, its interval, pairs)."""
    places = [pd.MultiIndex.from_arrays([board.keys, board.labels]) for board in (one, other)]
    if places[0].equals(places[1]):
        rows: list = [slice(None), slice(None)]
    else:
        at = places[1].get_indexer(places[0])
        rows = [at >= 0, at[at >= 0]]
    ranks = [
        board.ranks
        if board.methods == shared
        else standard_ranks(board.values[:, [board.names.index(name) for name in shared]])
        for board in (one, other)
    ]
    values = (ranks[0][rows[0]] * ranks[1][rows[1]]).sum(1)
    keys, known = one.keys[rows[0]], ~np.isnan(values)
    if not known.any():
        return np.nan, np.nan, np.nan, 0
    return *mean_of(keys[known], values[known], None), int(known.sum())


def known_measures(runs: list[Run], also: Callable[[str], bool] = lambda name: SCORES[name].ranked) -> list[str]:
    """Names of the scores that rows hold, or that some run has observations of."""
    observed = {each.name for run in runs for each in run.observations}
    if observed:
        SCORES.learn_suite()
    names = [name for name in SCORES if SCORES.measures.get(name) in {None, *observed}]
    return [name for name in names if also(name)]
