"""Score an attribution method in the pointing game: `python run.py method=gpnncam dataset=pascal_diff`.

This is the only file that imports hydra: it builds data set, classifier and method from conf/, evaluates what has no
row yet, and prints a table. Scripts that need the same objects use `load` and the `build_*` functions below.
"""

import functools
import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eval import runs
from eval.class_map import outputs
from eval.classifier import Classifier
from eval.protocol import Protocol
from eval.provenance import weights_digest
from eval.records import Rows, read_rows, write_json
from eval.runner import Plan, evaluate_pairs, plan, select
from eval.settings import SUBSETS, device_of, shard_of, validate

ROOT = Path(__file__).resolve().parent
# What a user can cause: one clear message. Anything else is a mistake of ours and shows its traceback.
EXPECTED = (ValueError, OSError, LookupError, RuntimeError, ImportError, HydraException, OmegaConfBaseException)


def load(overrides: list[str]) -> DictConfig:
    """The config that `python run.py OVERRIDES` would use, for scripts; without an experiment's sweep."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("config", overrides=overrides)


def instantiate(settings: DictConfig, **more):
    """hydra's, with the error of the called code itself instead of hydra's account of the call."""
    try:
        return hydra.utils.instantiate(settings, **more, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, TypeError):
            raise ValueError(f"{settings._target_}: {cause}") from error
        raise cause if isinstance(cause, EXPECTED) else error from error


def build_dataset(cfg: DictConfig):
    """The data set of the config; FileNotFoundError says what is missing and how to get it."""
    return instantiate(cfg.dataset.build)


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


def build_classifier(cfg: DictConfig, classes) -> Classifier:
    """The classifier of the config for a data set's classes; ValueError where its outputs do not fit them."""
    settings = network_settings(cfg)
    network = instantiate(settings.build)
    device = device_of(cfg.device)
    with torch.no_grad():
        blank = torch.zeros(1, 3, cfg.protocol.input.side, cfg.protocol.input.side, device=device)
        count = network.to(device).eval()(blank).shape[1]
    return Classifier(
        network,
        mean=settings.mean,
        std=settings.std,
        layers=OmegaConf.to_container(settings.layers, resolve=True),
        classes=classes,
        outputs=outputs(classes, cfg.model.class_map, count),
        device=device,
    )


def build_method(method: DictConfig, classifier: Classifier | None, classes):
    """The callable of a `method` config. A class is built with classifier= (classes= if blind); a function is called
    as function(image, targets, classifier=...)."""
    target = instantiate(method.build, _partial_=True)
    known = {"classes": classes} if method.blind else {"classifier": classifier}
    if not inspect.isclass(target.func):
        return functools.partial(target, **known)
    signature = inspect.signature(target.func)
    known = {name: value for name, value in known.items() if name in signature.parameters}
    try:
        signature.bind(*target.args, **target.keywords, **known)
    except TypeError as error:
        raise ValueError(f"method={method.name}: {method.build._target_}: {error}") from None
    return target(**known)


def evaluate(cfg: DictConfig, dataset, planned: Plan, method: DictConfig, classifier: Classifier | None):
    """Bring one method's run up to date: (its folder, pairs evaluated now, pictures that failed)."""
    protocol = Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    model = None
    if classifier is not None:
        settings = OmegaConf.to_container(network_settings(cfg), resolve=True)
        model = {"name": cfg.model.name, "weights": weights_digest(classifier.network), "outputs": classifier.outputs}
        model |= {key: settings[key] for key in ("build", "mean", "std", "layers")}
    who = runs.identity(
        OmegaConf.to_container(cfg.dataset, resolve=True),
        model,
        OmegaConf.to_container(method, resolve=True),
        asdict(protocol.input) if model else None,
        cfg.seed,
    )
    folder = runs.folder(Path(cfg.results), who)
    counts = {subset: planned.count(subset) for subset in SUBSETS}
    with Rows(folder, shard_of(cfg.shard)) as rows:
        config = OmegaConf.to_container(cfg, resolve=True)
        runs.describe(folder, who, config, protocol.name, counts, dataset.classes, device_of(cfg.device))
        left = select(planned, cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), read_rows(folder), dataset.classes)
        if not left:
            return folder, 0, []
        failed = evaluate_pairs(
            left,
            build_method(method, classifier, dataset.classes),
            classifier,
            protocol.input,
            rows,
            dataset.classes,
            cfg.seed,
            on_error=cfg.on_error,
            title=folder.name.rsplit(".", 1)[0],
        )
    return folder, sum(len(asked) for _, _, asked in left), failed


def job(cfg: DictConfig) -> list[tuple[str, str]]:
    """One run with its companions; says what happened and returns the pictures that failed."""
    validate(cfg)
    dataset = build_dataset(cfg)
    planned = plan(dataset, cfg.on_error)
    methods = [cfg.method]
    if cfg.compare and not cfg.method.blind:
        methods += [other for other in cfg.companions.values() if other.name != cfg.method.name]
    classifier, failed, folders = None, list(planned.failed), []
    if not cfg.method.blind:
        classifier = build_classifier(cfg, dataset.classes)
    for method in methods:
        folder, count, bad = evaluate(cfg, dataset, planned, method, None if method.blind else classifier)
        folders.append(folder)
        failed += bad
        print(f"{method.name}: {f'{count} pairs evaluated' if count else 'nothing left to do'}; rows in {folder}")
    return failed


class Sweep(Callback):
    """Names the jobs of a sweep that failed, after the others have run, and makes the exit status say so."""

    def on_multirun_end(self, config: DictConfig, **_) -> None:
        logs = Path(config.hydra.sweep.dir)
        failures = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(logs.glob("*/failed.json"))]
        for failure in failures:
            print(f"failed: {failure['job']}: {failure['error']}", file=sys.stderr)
        if failures:
            sys.exit(1)


def tell_failure(cfg: DictConfig, message: str) -> None:
    """On the terminal with a non-zero exit; as one job of a sweep, in a file that `Sweep` reads at the end."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    job_of = HydraConfig.get()
    if job_of.mode != RunMode.MULTIRUN:
        sys.exit(1)
    path = Path(job_of.sweep.dir) / job_of.sweep.subdir / "failed.json"
    write_json(path, {"job": job_of.job.override_dirname or cfg.method.name, "error": message})


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    try:
        failed = job(cfg)
    except EXPECTED as error:
        tell_failure(cfg, str(error).strip() or repr(error))
        return
    if failed:
        listed = "".join(f"\n  {message}" for _, message in failed)
        tell_failure(cfg, f"{len(failed)} pictures failed and have no row:{listed}")


if __name__ == "__main__":
    main()
