"""One run from its config: what is left to do, evaluate it, append the rows. run.py, which alone knows hydra, builds.

`build` below is that module, or anything with its `build_dataset`, `build_classifier` and `build_method`.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from eval import runs
from eval.classifier import Classifier
from eval.log import Log
from eval.protocol import Protocol
from eval.provenance import weights_digest
from eval.records import Rows, read_rows
from eval.runner import Evaluation, Plan, plan, select
from eval.settings import SUBSETS, device_of, shard_of, validate, workers_of
from eval.smoothing import Smoothing


@dataclass
class Outcome:
    """pairs: how many were evaluated now. folders: where the rows of the methods lie, the asked one's first.
    failed: (picture, message) of every picture that has no row."""

    pairs: int = 0
    folders: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def evaluate_job(cfg: DictConfig, build) -> Outcome:
    """One run with its companions; says what happened."""
    validate(cfg)
    dataset, planned = prepare(cfg, build)
    outcome = Outcome(failed=list(planned.failed))
    classifier = None if cfg.method.blind else prepare_classifier(cfg, dataset.classes, build)
    for method in methods_of(cfg):
        folder, count, failed = _evaluate(cfg, dataset, planned, method, None if method.blind else classifier, build)
        outcome.folders.append(folder)
        outcome.failed += failed
        outcome.pairs += count
        print(f"{method.name}: {f'{count} pairs evaluated' if count else 'nothing left to do'}; rows in {folder}")
    return outcome


def methods_of(cfg: DictConfig) -> list[DictConfig]:
    """The method asked for, then its companions: a blind one has none, so that it needs no network."""
    if not cfg.compare or cfg.method.blind:
        return [cfg.method]
    return [cfg.method, *(other for other in cfg.companions.values() if other.name != cfg.method.name)]


def _evaluate(cfg, dataset, planned: Plan, method: DictConfig, classifier: Classifier | None, build):
    """Bring one method's run up to date: (its folder, pairs evaluated now, pictures that failed)."""
    protocol = Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    who = identity(cfg, method, classifier)
    folder = runs.folder(Path(cfg.results), who)
    if classifier:
        planned = planned.askable(classifier.outputs)
    counts = {subset: planned.count(subset) for subset in SUBSETS}
    with Rows(folder, shard_of(cfg.shard), cfg.sync) as rows:
        config = OmegaConf.to_container(cfg, resolve=True)
        runs.describe(folder, who, config, protocol.name, counts, dataset.classes, device_of(cfg.device))
        left = select(planned, cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), read_rows(folder), dataset.classes)
        if not left:
            return folder, 0, []
        title, _, digest = folder.name.rpartition(".")
        log = Path(cfg.results) / "logs" / f"{title}.{digest}{rows.part}.log"
        failed = Evaluation(
            build.build_method(method, classifier, dataset.classes),
            classifier,
            protocol.input.of_method(method.get("input")),
            rows,
            dataset.classes,
            cfg.seed,
            on_error=cfg.on_error,
            workers=workers_of(cfg.workers, device_of(cfg.device)),
            batch_pictures=cfg.batch_pictures,
            save_maps=cfg.save_maps,
            smoothing=smoothing_of(method),
            log=Log(log, title, sum(len(asked) for _, _, asked in left)),
        ).run(left)
    return folder, sum(len(asked) for _, _, asked in left), failed


def smoothing_of(method: DictConfig) -> Smoothing:
    """The method's `smooth`; ValueError for one that cannot be meant."""
    settings = method.get("smooth")
    return Smoothing.from_settings(OmegaConf.to_container(settings) if OmegaConf.is_config(settings) else settings)


def identity(cfg: DictConfig, method: DictConfig, classifier: Classifier | None) -> dict:
    """What decides the rows of a method (eval/runs.py)."""
    protocol = Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    model = None
    if classifier is not None:
        settings = OmegaConf.to_container(network_settings(cfg), resolve=True)
        model = {"name": cfg.model.name, "weights": weights_digest(classifier.network), "outputs": classifier.outputs}
        model |= {key: settings[key] for key in ("build", "mean", "std", "layers")}
    return runs.identity(
        OmegaConf.to_container(cfg.dataset, resolve=True),
        model,
        OmegaConf.to_container(method, resolve=True),
        asdict(protocol.input) if model else None,
        cfg.seed,
    )


def network_settings(cfg: DictConfig) -> DictConfig:
    """The model's settings for this data set: `model=vgg16` means another network on Pascal than on ImageNet."""
    model = cfg.model
    if "variants" not in model:
        return model
    if model.variant not in model.variants:
        raise ValueError(
            f"model={model.name} has no network for {model.variant}; it has {', '.join(model.variants)} "
            "(model=custom takes any network)"
        )
    return model.variants[model.variant]


def prepare(cfg: DictConfig, build):
    """(data set, Plan) of the config; the jobs of a sweep share them."""

    def make():
        dataset = build.build_dataset(cfg)
        for note in getattr(dataset, "notes", ()):
            print(f"{cfg.dataset.name}: {note}")
        return dataset, plan(dataset, cfg.on_error)

    settings = OmegaConf.to_container(cfg.dataset.build, resolve=True)
    return _kept(f"dataset {cfg.dataset.name}", [settings, cfg.on_error], make)


def prepare_classifier(cfg: DictConfig, classes, build) -> Classifier:
    """The classifier of the config, or the one that the job before built alike."""
    settings = OmegaConf.to_container(network_settings(cfg), resolve=True)
    settings = [settings, cfg.model.class_map, list(classes), cfg.device]

    def make():
        classifier = build.build_classifier(cfg, classes)
        lost = [name for name, outputs in zip(classes, classifier.outputs, strict=True) if not outputs]
        if lost:
            print(f"{cfg.model.name}: no output stands for {len(lost)} of {len(classes)} classes, whose pairs are not "
                  f"asked: {', '.join(lost)}")  # fmt: skip
        return classifier

    return _kept("classifier", settings, make)


_memory = {}


def _kept(name: str, settings, make):
    """What the jobs of a sweep in one process build alike is built once; one of each name is in memory."""
    key = json.dumps(settings)
    if name not in _memory or _memory[name][0] != key:
        _memory.pop(name, None)  # before the next is built
        _memory[name] = key, make()
    return _memory[name][1]
