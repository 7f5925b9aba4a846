"""A method's rows from Python, without files: five lines from a callable to a pandas frame."""

import functools
from collections.abc import Callable, Iterable

import pandas as pd

from eval.game.smoothing import NONE
from eval.records.loading import frame
from eval.records.rows import Rows
from eval.running.build import bound, build_method
from eval.running.config import load
from eval.running.evaluation import Evaluation
from eval.running.job import prepare_classifier, prepare_dataset, smoothing_of, trusted_network
from eval.running.plan import select
from eval.running.settings import plain, protocol_of, shard_of, validate


class Collected(Rows):
    """Rows that stay in memory."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def append(self, rows: Iterable[dict]) -> None:
        """As `Rows.append`."""
        self.rows += rows


def score(method: Callable | str, *settings: str) -> pd.DataFrame:
    """The rows of a method, those of run.py with the same settings; no file is written.

    Args:
        method: a function(image (3,H,W) RGB in [0,1], targets (K,), classifier) -> maps (K,h,w), a class that is built
            with classifier=..., or a name of conf/method.
        *settings: as of run.py, e.g. "dataset=pascal", "dataset.root=DIR", "model=vgg16", "limit=20"; the built-in
            scenes and ResNet50 unless given.

    Returns:
        A frame with a line per (picture, class), in the columns of docs/columns.md.

    Raises:
        RuntimeError: names the first picture that fails.
        ValueError: names a wrong setting.

    >>> rows = score("center", "dataset=demo", "dataset.build.count=2")
    >>> list(rows.columns[:2]), bool(rows["x"].eq(112).all())
    (['key', 'label'], True)
    """
    named = isinstance(method, str)
    if not named and any(each.lstrip("+").startswith("method") for each in settings):
        raise ValueError(
            "the method is a callable, so no setting of conf/method applies; functools.partial sets its own"
        )
    cfg = load([*([f"method={method}"] if named else []), *settings])
    validate(cfg)
    if cfg.save_maps or cfg.on_error != "stop":
        raise ValueError("score() writes nothing and stops at the first error: leave save_maps and on_error out")
    dataset, planned = prepare_dataset(cfg)
    blind = named and bool(cfg.method.blind)
    classifier = None if blind else prepare_classifier(cfg, dataset.classes)
    if isinstance(method, str):
        built = build_method(cfg.method, classifier, dataset.classes)
    else:
        built = bound(functools.partial(method), {"classifier": classifier}, "score()")
    if classifier is not None:
        planned = planned.scorable(classifier.outputs)
    rows, shown = Collected(), protocol_of(cfg).input
    pixels = shown.of_method(plain(cfg.method.get("input"))) if named else shown
    smoothing = smoothing_of(cfg.method) if named else NONE
    todo = select(planned, cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), [], dataset.classes, cfg.draw)
    size = cfg.batch_pictures
    with trusted_network():
        Evaluation(
            built,
            classifier,
            pixels,
            rows,
            dataset.classes,
            cfg.seed,
            batch_pictures=size,
            smoothing=smoothing,
            shown=shown,
        ).run(todo)
    return frame(rows.rows, "score()")
