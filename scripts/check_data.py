"""Reads a data set from end to end and says what is wrong with it: python -m scripts.check_data dataset=pascal ...

    python -m scripts.check_data dataset=pascal dataset.root=DIR
    python -m scripts.check_data dataset=coco dataset.root=DIR --no-pictures

    python -m scripts.check_data dataset=pascal dataset.root=DIR --records results/records

Takes the settings of run.py. Counts pictures and pairs and compares them with the known ones; reads every annotation
and decodes every picture, names those that are missing, damaged or of another size than annotated; seconds of each.
With --records the picture files and regions are compared with the digests that the rows of this data set's runs hold.
Exits with 1 where anything is wrong. Costs one pass over the pictures (VOC2007 test: about a minute on one core).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files.places import cores
from eval.files.words import several
from scripts.command import Command, command

if TYPE_CHECKING:  # --help needs none of them
    import torch
    from PIL import Image

    from eval.game.sample import Sample
    from eval.records.content_check import Known

FEW = 128  # pictures: a process that decodes takes seconds to start

# Pictures, pairs, difficult pairs of complete data sets; None: not known for certain. VOC2007 test was counted on the
# published annotations, ILSVRC2012 val has one class per picture and so no difficult pair.
KNOWN = {
    "pascal": (4952, 7013, 2230),
    "imagenet": (50000, 50000, 0),
    "coco": (40504, None, None),
}


@dataclass
class Report:
    """What a pass over a data set gave; `bad`: (picture, kind, message). notes: what is left out; remarks: how files
    are read."""

    pictures: int = 0
    pairs: int = 0
    difficult: int = 0
    classes: int = 0
    objects: int = 0
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    compared: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def check(dataset: Any, workers: int = 1, decode: bool = True, known: Known | None = None) -> Report:
    """Read all annotations and, with `decode`, all pictures of the data set, with that many worker processes; of few
    pictures with none, as a process takes longer to start. known: what rows hold of the pictures."""
    from tqdm import tqdm

    from eval.game.sample import pairs
    from eval.running.decoding import decoded

    notes, remarks = (tuple(getattr(dataset, name, ())) for name in ("notes", "remarks"))
    report = Report(notes=notes, remarks=remarks, pictures=len(dataset))
    keys = getattr(dataset, "keys", [f"picture {index}" for index in range(len(dataset))])
    samples: list[Sample] = []
    seen: Counter = Counter()
    started = time.perf_counter()
    for index in tqdm(range(len(dataset)), desc="annotations", disable=None):
        try:
            sample = dataset[index]
            wanted = list(pairs(sample))
        except (ValueError, OSError) as error:
            report.bad.append((keys[index], "annotation", str(error)))
            continue
        samples.append(sample)
        report.objects += len(sample.labels)
        report.pairs += len(wanted)
        report.difficult += sum(pair.difficult for pair in wanted)
        seen.update(pair.label for pair in wanted)
    report.classes = len(seen)
    report.seconds["annotations"] = time.perf_counter() - started
    if decode:
        started = time.perf_counter()
        workers = workers if len(samples) >= FEW else 0
        for sample, result in tqdm(decoded(samples, _shape, workers), "pictures", len(samples), disable=None):
            if isinstance(result, Exception):
                message = str(result)
                lost, other = isinstance(result, FileNotFoundError), "its annotation says" in message
                kind = "missing" if lost or "does not exist" in message else "size" if other else "damaged"
                report.bad.append((sample.key, kind, message))
            elif known is not None:
                report.bad += known.differences(sample, dataset.classes, result.digest)
        report.seconds["pictures"] = time.perf_counter() - started
    if known is not None:
        if not decode:
            for sample in samples:
                report.bad += known.differences(sample, dataset.classes, sample.file_digest)
        report.bad += known.missing(sample.key for sample in samples)
        report.compared = known.basis
    return report


def _shape(image: Image.Image) -> torch.Tensor:
    """Decoding is the check: no pixels need to travel back from the worker."""
    import torch

    return torch.tensor(image.size)


def lines(report: Report, name: str, limit: int = 20) -> list[str]:
    """The report as text; at most `limit` bad pictures of each kind are named."""
    text = [
        f"{name}: {several(report.pictures, 'picture')}, {several(report.objects, 'object')}, "
        f"{several(report.pairs, 'pair')} of {several(report.classes, 'class')}, {report.difficult:,} of them difficult"
    ]
    for what, n, known in zip(
        ("pictures", "pairs", "difficult pairs"),
        (report.pictures, report.pairs, report.difficult),
        KNOWN.get(name, (None,) * 3),
        strict=True,
    ):
        if known is not None:
            text.append(f"  {what}: {f'{n:,}, as known' if n == known else f'{n:,} instead of {known:,}'}")
    text += [f"  note: {note}" for note in (*report.notes, *report.remarks)]
    text += [f"  {report.compared}"] if report.compared else []
    for kind, count in Counter(kind for _, kind, _ in report.bad).items():
        named = [(key, message) for key, k, message in report.bad if k == kind]
        text.append(f"  {kind}: {count:,} bad")
        text += [f"    {key}: {message}" for key, message in named[:limit]]
        text += [f"    and {count - limit:,} more"] if count > limit else []
    text += [
        f"  {what}: {seconds:.1f} s, {report.pictures / max(seconds, 1e-9):,.0f} pictures/s"
        for what, seconds in report.seconds.items()
    ]
    return text


def is_complete(report: Report, name: str) -> bool:
    """Nothing bad, nothing left out, and the numbers that are known."""
    numbers = (report.pictures, report.pairs, report.difficult)
    known = KNOWN.get(name, (None,) * 3)
    return not report.bad and not report.notes and all(k in (None, n) for n, k in zip(numbers, known, strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help="as for run.py, e.g. dataset=pascal")
    parser.add_argument("--no-pictures", action="store_true", help="annotations only")
    parser.add_argument("--list", type=int, default=20, metavar="N", help="name at most N bad pictures of a kind (20)")
    parser.add_argument("--records", type=Path, metavar="DIR", help="compare with what the rows there were made on")


def act(options: argparse.Namespace) -> int:
    from eval.records.content_check import Known
    from eval.running.build import build_dataset
    from eval.running.config import load

    cfg = load(options.settings)
    dataset = build_dataset(cfg)
    known = Known.read(options.records, str(cfg.dataset.name)) if options.records else None
    report = check(dataset, cores() if cfg.workers is None else cfg.workers, not options.no_pictures, known)
    print("\n".join(lines(report, cfg.dataset.name, options.list)))
    return 0 if is_complete(report, cfg.dataset.name) else 1


main = command(Command("scripts.check_data", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
