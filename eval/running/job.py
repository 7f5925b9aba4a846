"""One run from its config: what is left to do, evaluate it, append the rows."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from eval.files.words import several
from eval.game.smoothing import Smoothing
from eval.networks.classifier import Classifier
from eval.records import run_folder
from eval.records.rows import Rows, read_rows
from eval.records.schema import check
from eval.running import build
from eval.running.evaluation import Evaluation
from eval.running.identity import identity, network_identity, outputs_of_maps
from eval.running.log import Log, say
from eval.running.measuring import Built, Measuring, build_measures, requests_of, unobserved
from eval.running.method_call import Method
from eval.running.plan import Plan, plan, select, within
from eval.running.settings import (
    SUBSETS,
    device_of,
    network_settings,
    plain,
    protocol_of,
    shard_of,
    validate,
    workers_of,
)
from eval.running.unmapped import unmapped


@dataclass
class Outcome:
    """pairs: how many were evaluated or observed now. folders: where the rows of the methods lie, the config's own
    method first. failed: (picture, message) of every picture that has no row; unobserved: of every picture whose rows
    lack a measure's observation."""

    pairs: int = 0
    folders: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    unobserved: list[tuple[str, str]] = field(default_factory=list)

    @property
    def complaint(self) -> str | None:
        """What the run's last line says of the pictures that failed; None where none did."""
        parts = [
            f"{several(len(failed), 'picture')} failed, without {what}s:"
            + "".join(f"\n  {message}" for _, message in failed)
            for failed, what in ((self.failed, "row"), (self.unobserved, "observation"))
            if failed
        ]
        return "\n".join(parts) or None


@dataclass(frozen=True)
class Prepared:
    """What the evaluation of one method needs: the built method, which run it is, and the pairs of its network."""

    method: Method
    folder: Path
    who: dict
    planned: Plan


def evaluate_job(cfg: DictConfig) -> Outcome:
    """One run with its companions; prints what happened."""
    validate(cfg)
    dataset, planned = prepare_dataset(cfg)
    outcome = Outcome(failed=list(planned.failed))
    classifier = None if cfg.method.blind else prepare_classifier(cfg, dataset.classes)
    measures = build_measures(cfg)
    for method in methods_of(cfg):
        seeing = None if method.blind else classifier
        ready = prepare(cfg, method, seeing, dataset, planned)
        folder, count, failed = _evaluate(cfg, dataset, ready, method, seeing)
        outcome.folders.append(folder)
        outcome.failed += failed
        outcome.pairs += count
        done = several(count, "pair") + " evaluated" if count or failed else "nothing left to do"
        print(f"{method.name}: {done}; rows in {folder}")
        if measures:
            observed, failed = _observe(cfg, dataset, ready, method, seeing, measures)
            outcome.unobserved += failed
            outcome.pairs += observed
    return outcome


def methods_of(cfg: DictConfig) -> list[DictConfig]:
    """The config's method, then its companions: a blind one has none, so that it needs no network."""
    if not cfg.compare or cfg.method.blind:
        return [cfg.method]
    return [cfg.method, *(other for other in cfg.companions.values() if other.name != cfg.method.name)]


def prepare(
    cfg: DictConfig, settings: DictConfig, classifier: Classifier | None, dataset: Any, planned: Plan
) -> Prepared:
    """The method of `settings`, built, and its run; what cannot be known about its identity is printed."""
    method = build.build_method(settings, classifier, dataset.classes)
    who, notes = identity(cfg, settings, method, classifier, dataset.classes)
    for note in notes:
        print(f"{settings.name}: {note}")
    if (answered := classifier.outputs if classifier else outputs_of_maps(cfg, method, dataset.classes)) is not None:
        planned = planned.scorable(answered)
    return Prepared(method, run_folder.folder(Path(cfg.results), who), who, planned)


def remaining(cfg: DictConfig, ready: Prepared, classes: Sequence[str]) -> list:
    """The entries of the run without a row; ValueError if its rows are damaged or of other content."""
    rows = read_rows(ready.folder)
    check(rows, ready.folder)
    return select(ready.planned, cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), rows, classes, cfg.draw)


def _evaluate(
    cfg: DictConfig, dataset: Any, ready: Prepared, settings: DictConfig, classifier: Classifier | None
) -> tuple[Path, int, list[tuple[str, str]]]:
    """Bring one method's run up to date: (its folder, pairs evaluated now, pictures that failed)."""
    protocol = protocol_of(cfg)
    counts = {subset: ready.planned.count(subset) for subset in SUBSETS}
    # A point that needs no pixels costs less than the disk's answer, which would be most of a run's time.
    sync = "half" if cfg.sync == "auto" and settings.blind else cfg.sync
    with Rows(ready.folder, shard_of(cfg.shard), sync) as rows:
        unreadable, device = len(ready.planned.failed), device_of(cfg.device)
        label, classes = settings.get("label"), list(dataset.classes)
        # First of all: where rows are of other content, run.json goes on describing what they were made on.
        left = remaining(cfg, ready, dataset.classes)
        run_folder.describe(
            ready.folder, ready.who, plain(cfg), asdict(protocol), counts, unreadable, classes, device, label
        )
        for key, message in ready.planned.failed:
            rows.fail(key, message)
        if not left:
            return ready.folder, 0, []
        title, _, digest = ready.folder.name.rpartition(".")
        log = Path(cfg.results) / "logs" / f"{title}.{digest}{rows.part}.log"
        evaluation = Evaluation(
            ready.method,
            classifier,
            protocol.input.of_method(plain(settings.get("input"))),
            rows,
            dataset.classes,
            cfg.seed,
            on_error=cfg.on_error,
            workers=workers_of(cfg.workers, device_of(cfg.device)),
            batch_pictures=cfg.batch_pictures,
            save_maps=cfg.save_maps,
            smoothing=smoothing_of(settings),
            shown=protocol.input,
            log=Log(log, title, sum(len(todo) for _, _, todo in left)),
        )
        with trusted_network():
            failed = evaluation.run(left)
    return ready.folder, evaluation.evaluated, failed


def smoothing_of(method: DictConfig) -> Smoothing:
    """The method's `smooth`; ValueError for one that cannot be meant."""
    return Smoothing.from_settings(plain(method.get("smooth")))


def _observe(
    cfg: DictConfig,
    dataset: Any,
    ready: Prepared,
    settings: DictConfig,
    classifier: Classifier | None,
    measures: Mapping[str, Built],
) -> tuple[int, list[tuple[str, str]]]:
    """Bring the measures of one method's run up to date: (pairs observed now, pictures that failed)."""
    rows = {(row["key"], row["label"]): row for row in read_rows(ready.folder)}
    names = ", ".join(each.measure.name for each in measures.values())  # what a user calls his own, not "custom"
    if all(row["cover5"] is None for row in rows.values()):
        print(f"{settings.name}: it answers with points, and {names} {'needs' if len(measures) == 1 else 'need'} maps")
        return 0, []
    if cfg.measure_top_k is not None:
        if any(row["rank"] is None for row in rows.values()):
            raise ValueError(f"measure_top_k: {settings.name} reads no network, so its rows know no ranks")
        rows = {pair: row for pair, row in rows.items() if row["rank"] < cfg.measure_top_k}
    classifier, network = network_of_measures(cfg, classifier, dataset.classes)
    shard, device = shard_of(cfg.shard), device_of(cfg.device)
    requests = requests_of(ready.folder, measures, network)
    entries = within(ready.planned.scorable(classifier.outputs), cfg.dataset.subset, cfg.limit, shard, cfg.draw)
    title = ready.folder.name.rpartition(".")[0]
    log = Path(cfg.results) / "logs" / f"{ready.folder.name}{'' if shard is None else f'.{shard[0]}-of-{shard[1]}'}.log"
    unit = protocol_of(cfg).input
    with trusted_network():
        count, failed = Measuring(
            ready.method,
            bool(settings.blind),
            classifier,
            unit.of_method(plain(settings.get("input"))),
            unit,
            dataset.classes,
            cfg.seed,
            rows,
            smoothing=smoothing_of(settings),
            on_error=cfg.on_error,
            sync=cfg.sync,
            shard=shard,
            log=Log(log, f"{title} {names}", unobserved(requests, entries, dataset.classes, rows)),
        ).run(requests, entries, network, device)
    print(f"{settings.name}: {names}: {several(count, 'pair') + ' observed' if count else 'nothing left to observe'}")
    return count, failed


def network_of_measures(
    cfg: DictConfig, classifier: Classifier | None, classes: Sequence[str]
) -> tuple[Classifier, dict | None]:
    """(the network that the measures read, its identity where the method reads none itself)."""
    if classifier is not None:
        return classifier, None
    classifier = prepare_classifier(cfg, classes)
    network, notes = network_identity(cfg, classifier)
    for note in notes:
        print(f"{cfg.model.name}: {note}")
    return classifier, network


def prepare_dataset(cfg: DictConfig) -> tuple[Any, Plan]:
    """(data set, Plan) of the config; the jobs of a sweep share them."""

    def make() -> tuple[Any, Plan]:
        say(f"{cfg.dataset.name}: reading the data set")
        dataset = build.build_dataset(cfg)
        for note in (*getattr(dataset, "notes", ()), *getattr(dataset, "remarks", ())):
            print(f"{cfg.dataset.name}: {note}")
        return dataset, plan(dataset, cfg.on_error)

    return _kept(f"dataset {cfg.dataset.name}", [plain(cfg.dataset.build), cfg.on_error], make)


def prepare_classifier(cfg: DictConfig, classes: Sequence[str]) -> Classifier:
    """The classifier of the config, or the one that the job before built alike."""
    settings = [plain(network_settings(cfg)), cfg.model.class_map, list(classes), cfg.device, cfg.protocol.input.side,
                plain(cfg.model.get("layouts")), cfg.model.get("head"), cfg.model.get("outputs")]  # fmt: skip

    def make() -> Classifier:
        say(f"{cfg.model.name}: building the network")
        classifier = build.build_classifier(cfg, classes)
        for note in classifier.notes:
            print(f"{cfg.model.name}: {note}")
        if missing := unmapped(classifier, classes):
            print(f"{cfg.model.name}: {missing}")
        return classifier

    return _kept("classifier", settings, make)


@contextmanager
def trusted_network() -> Iterator[None]:
    """After an error in the block the next job builds its network anew: what raises may leave a hook behind."""
    try:
        yield
    except BaseException:
        _memory.pop("classifier", None)
        raise


_memory: dict[str, tuple[str, Any]] = {}


def _kept(name: str, settings: Any, make: Callable[[], Any]) -> Any:
    """What the jobs of a sweep in one process build alike is built once; one of each name is in memory."""
    key = json.dumps(settings)
    if name not in _memory or _memory[name][0] != key:
        _memory.pop(name, None)  # before the next is built
        _memory[name] = key, make()
    return _memory[name][1]
