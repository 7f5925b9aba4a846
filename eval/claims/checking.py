"""The first three steps of verification: a claim is whole, its numbers follow from its rows, the rows from the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from eval.claims import claim, data, folder, numbers
from eval.claims.claim import Claim
from eval.claims.data import There
from eval.claims.labels import label_of
from eval.claims.report import FAILS, MARK, NOTE, Report
from eval.claims.rows_file import digest_of
from eval.datasets import known


def check(
    place: Path, there: Callable[[Claim], There | None] | None = None, scores: bool = True
) -> tuple[Report, Claim | None]:
    """Steps 1 to 3 of a claim, and the claim where it can be read.

    there: the data set where it lies here; None: what the project ships of it. scores: False leaves out what belongs
    to the numbers that claim.yaml states and to the data, for whoever computes numbers from the rows.
    """
    report = Report(place)
    try:
        read = claim.load(place)
    except (ValueError, OSError) as error:
        report.add("whole", FAILS, str(error))
        return report, None
    report.name = read.name
    _whole(read, report)
    if not scores:
        return report, read
    try:
        _recomputed(read, report)
    except (ValueError, LookupError, TypeError) as error:
        report.add("recomputed", FAILS, f"nothing can be computed from these rows: {error}")
    try:
        _data(read, report, there)
    except (ValueError, OSError, LookupError, TypeError, ImportError) as error:
        report.add("data", FAILS, f"the data cannot be compared: {error}")
    return report, read


def _whole(read: Claim, report: Report) -> None:
    info, rows, said = read.run.info, read.run.rows, read.said
    wrong = folder.changed(read.folder)
    name, own = read.folder.place.resolve().name, folder.name_of(info, read.name)
    if name != own:
        wrong.append(f"the folder is named {name}, the claim {own}: it was renamed, or edited since")
    wrong += [*_count(read), *data.inconsistencies(rows), *_code(read)]
    try:
        if said.label != (label := label_of(info)):
            wrong.append(f"the method's settings differ from its label: {said.label!r} is {label!r}")
    except (ValueError, TypeError, AttributeError) as error:
        wrong.append(str(error))
    both = set(said.keys) & set(rows["key"])
    if both and said.looked_at != "same":
        wrong.append(
            f"claim.yaml says that pictures looked at are {said.looked_at}, and names {len(both):,} reported ones"
        )
    report.faults("whole", wrong, f"{len(rows):,} pairs of {rows['key'].nunique():,} pictures, as {folder.SUMS} says")
    if said.partial:
        failed = ", ".join(list(info["failures"])[:3])
        report.add("whole", MARK, f"partial: {data.completeness(read.run)[0]}" + (f": {failed}" if failed else ""))
    if said.looked_at == "same" or both:
        report.add("whole", MARK, "pictures were used for choosing settings and for reporting alike")


def _count(read: Claim) -> list[str]:
    """Whether the rows are as many as run.json says pairs there are, or claim.yaml says that they are not."""
    rows, there = read.run.rows, read.run.info["pairs"]
    if len(rows) > there["all"] or rows["difficult"].sum() > there["diff"]:
        return [f"it has more rows than there are pairs: {len(rows):,} of {there['all']:,}"]
    holds, whole = data.completeness(read.run)
    if whole != read.said.partial:
        return []
    return [f"it holds {holds}, and claim.yaml says that it is {'partial' if read.said.partial else 'complete'}"]


def _code(read: Claim) -> list[str]:
    """Whether claim.yaml names the code that run.json does, and what came with it is what made the rows."""
    parts, code = [read.who[part] or {} for part in ("dataset", "model", "method")], read.folder.code
    if claim.built_in(read.who) != (read.said.code == "built in"):
        return [f"claim.yaml says that the code is {read.said.code}, run.json names {', '.join(claim.targets(parts))}"]
    if (read.said.code == "file") != bool(code):
        came = "came with the claim, and claim.yaml does not say so" if code else "did not come with the claim"
        return [f"the code {came}"]
    made = {str(digest) for part in parts for digest in (part.get("code") or {}).values()}
    strange = [name for name, text in code.items() if sha256(text).hexdigest()[:16] not in made]
    return [f"code/{name} is not what the rows were made with" for name in strange]


def _recomputed(read: Claim, report: Report) -> None:
    run, said, seen = read.run, read.said, read.who["input"]
    others = [each.get("name") for each in run.info["protocols"] if seen and each.get("input") != seen]
    wrong = [f"the network saw another input than protocol {name} prescribes" for name in others]
    scores = numbers.stated(numbers.cells_of(run))
    wrong += numbers.disagreements(said.scores, scores)
    report.faults("recomputed", wrong, f"{len(scores)} scores with their intervals are as claim.yaml states them")
    known_ = claim.of_this_suite()
    for each in run.observations:
        if each.part.get("build", {}).get("_target_") not in known_:
            report.add("recomputed", NOTE, f"no score of {each.name}: the measure's code is none of this suite")
    for line in said.stated:
        place = [line[name] for name in ("protocol", "subset", "measure")]
        ours = [each["value"] for each in scores if [each[n] for n in ("protocol", "subset", "measure")] == place]
        if ours and round(ours[0], 4) != round(line["value"], 4):
            text = f"the paper states {line['value']:g} for {' '.join(place)}, the rows give {ours[0]:.4f}"
            report.add("recomputed", MARK, text)


def _data(read: Claim, report: Report, there: Callable[[Claim], There | None] | None) -> None:
    model, info, rows = read.who["model"], read.run.info, read.run.rows
    if model and (usual := known.weights(model)):
        what = f"weights {model.get('weights')}"
        wrong = [] if model.get("weights") == usual else [f"{what} are not those of {model['name']}, {usual}"]
        report.faults("data", wrong, f"{what} are those of {model['name']}")
    found = there(read) if there else data.shipped(read.who["dataset"])
    if found is None:
        report.add("data", NOTE, f"nothing is known of {read.run.dataset} here: --data dataset.root=DIR compares it")
        return
    wrong, (count, how) = data.disagreements(rows, found, info, read.said.partial), data.compared(rows, found)
    if wrong or count:
        report.faults("data", wrong, f"{count:,} pairs are those of {found.words} ({how})")
    if count < len(rows):
        text = (
            f"{len(rows) - count:,} pairs: only a digest of all {found.count:,} is known, which says nothing of a part"
        )
        report.add("data", NOTE, text)


def twice(claims: Sequence[Claim]) -> list[tuple[str, str]]:
    """(fails or mark, a sentence) of claims about one run, and of those that have one method's points on every pair."""
    found: list[tuple[str, str]] = []
    runs: dict[str, Claim] = {}
    points: dict[str, Claim] = {}
    for each in claims:
        who, where = json.dumps(each.who, sort_keys=True), _points(each)
        name = each.folder.place.name
        if (other := runs.setdefault(who, each)) is not each:
            how = "with the same points" if _points(other) == where else "with other points: one of them does not hold"
            found.append((FAILS, f"{name} and {other.folder.place.name} claim the same run, {how}"))
        elif (other := points.setdefault(where, each)) is not each:
            found.append((MARK, f"{name} has the points of {other.folder.place.name} on every pair"))
    return found


def _points(read: Claim) -> str:
    return digest_of(read.run.rows[name] for name in ("key", "label", "region", "x", "y"))
