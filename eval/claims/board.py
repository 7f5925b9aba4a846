"""Boards: which numbers of claims share a column, in their order, with groups that no test separates.

A board is one data set, network, protocol with its input, measure with its settings, subset, and the very same pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from eval.claims.claim import Claim
from eval.claims.groups import letters, ranks, separation
from eval.claims.numbers import cells_of
from eval.claims.rows_file import digest_of
from eval.tables.cells import Cell
from eval.tables.layout import named

OF_NETWORK = ("name", "weights", "outputs", "mean", "std", "build")


@dataclass(frozen=True)
class Entry:
    """One claim on a board. places, groups: see `eval.claims.groups`. difference, low, high: to the reference; None for
    the reference itself, and where there is none."""

    claim: Claim
    cell: Cell
    places: str
    groups: str
    difference: tuple[float, ...] | None


@dataclass(frozen=True)
class Board:
    """title: data, network, protocol, subset in words. rule: what is measured. network: with its weights, in words.
    pairs, pictures: how many. reference: the label of the method that differences are to."""

    title: str
    rule: str
    network: str
    pairs: int
    pictures: int
    reference: str
    less_is_better: bool
    entries: list[Entry]


def boards(claims: Sequence[Claim], reference: str) -> list[Board]:
    """All boards of some claims; reference: a method's name, where a board has it."""
    seeing: dict[tuple[str, str], list[tuple[Claim, Cell]]] = {}
    blind: dict[str, list[tuple[Claim, Cell]]] = {}
    for claim in claims:
        for cell in cells_of(claim.run):
            if np.isfinite(cell.accuracy) and claim.who["model"]:
                seeing.setdefault(_place(claim, cell), []).append((claim, cell))
            elif np.isfinite(cell.accuracy):
                blind.setdefault(_place(claim, cell)[1], []).append((claim, cell))
    found = [_board([*group, *blind.get(shared, [])], reference) for (_, shared), group in seeing.items()]
    alone = blind.keys() - {shared for _, shared in seeing}
    found += [_board(blind[shared], reference) for shared in alone]
    return sorted(found, key=lambda each: (-len(each.entries), each.title))


def _place(claim: Claim, cell: Cell) -> tuple[str, str]:
    """(network and picture files, which a method that reads neither does not know; all else that a column shares)."""
    model, rule = claim.who["model"], cell.rule
    network = model and {name: model.get(name) for name in OF_NETWORK}
    shared = [
        claim.who["dataset"]["build"],
        asdict(rule.protocol),
        rule.measure,
        rule.observed,
        rule.top_k,
        cell.subset,
    ]
    pairs, files = (digest_of(map(cell.chosen.column, names)) for names in (("key", "label", "region"), ("picture",)))
    return json.dumps([network, files], sort_keys=True), json.dumps([*shared, pairs], sort_keys=True)


def _board(group: list[tuple[Claim, Cell]], reference: str) -> Board:
    first = group[0][1]
    score, rule = first.rule.score, first.rule
    group = sorted(group, key=lambda each: each[1].accuracy, reverse=not score.less_is_better)
    values = np.stack([cell.values for _, cell in group], 1)
    classes = first.chosen.column("label") if rule.protocol.average == "class" else None
    apart = separation(first.chosen.column("key"), values, classes)
    at = next((n for n, (claim, _) in enumerate(group) if claim.run.info["method"] == reference), None)
    groups, places = letters(apart.apart), ranks(apart.apart, apart.difference, score.less_is_better)
    entries = [
        Entry(
            claim,
            cell,
            places[n] if score.ranked else "–",
            groups[n],
            None
            if at in (None, n)
            else tuple(float(table[n, at]) for table in (apart.difference, apart.low, apart.high)),
        )
        for n, (claim, cell) in enumerate(group)
    ]
    seeing = next((claim.who["model"] for claim, _ in group if claim.who["model"]), None)
    words = [named(first.run.dataset), named(seeing["name"]) if seeing else "no network", f"protocol {rule.label}"]
    return Board(
        title=" · ".join([*words, "difficult pairs" if first.subset == "diff" else "all pairs"])
        + ("" if rule.measure == "hit" else f" · {rule.measure}"),
        rule=rule.words,
        network="" if seeing is None else f"{seeing['name']}, weights {seeing['weights']}",
        pairs=first.n,
        pictures=int(first.chosen.column("key").nunique()),
        reference="" if at is None else group[at][0].said.label,
        less_is_better=score.less_is_better,
        entries=entries,
    )
