"""What a sweep needs, before any of it runs: every missing data set, weights file or setting at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval.running.config import EXPECTED, instantiate
from eval.running.job import prepare, prepare_classifier, prepare_dataset, remaining
from eval.running.measuring import build_measures, requests_of, unobserved
from eval.running.plan import within
from eval.running.settings import network_settings, plain, shard_of, validate
from eval.sweeps.progress import Job


def preflight(configs: list[tuple[str, DictConfig]]) -> tuple[list[Job], list[str]]:
    """(jobs in the order of `configs`, problems); configs: (name, composed config) of every job.

    A problem is one message with the first job that has it; a job with a problem is not among the jobs. Where
    on_error is "skip", a method that the network cannot serve is no problem: its job is there, `refused`.
    """
    jobs: dict[int, Job] = {}
    problems: dict[str, list[str]] = {}
    tried = Tried()
    for number, (name, cfg) in _by_network(configs):
        try:
            jobs[number] = _job(name, cfg, tried)
        except Problems as error:
            for message in error.messages:
                problems.setdefault(message, []).append(name)
    listed = []
    for message, names in problems.items():
        more = f" and {len(names) - 1} more jobs" if len(names) > 1 else ""
        listed.append(f"{message} ({names[0]}{more})" if names[0] else message)
    return _without_repeats([jobs[number] for number in sorted(jobs)]), listed


class Problems(Exception):
    """Everything that keeps one job from starting."""

    def __init__(self, messages: list[str]):
        self.messages = messages


class Tried:
    """Remembers what failed, so that a download is not tried again for every job, and goes on to the next check."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def __call__(self, problems: list[str], what: str, settings: list, make: Callable[[], Any]) -> Any:
        """make(), or None with its message in `problems`; equal `what` and settings are known to fail alike."""
        key = what
        try:
            key += "\n".join(OmegaConf.to_yaml(s, resolve=True) if OmegaConf.is_config(s) else str(s) for s in settings)
            if key not in self.failed:
                return make()
        except EXPECTED as error:
            self.failed[key] = str(error).strip() or repr(error)
        problems.append(self.failed[key])
        return None


def _by_network(configs: list[tuple[str, DictConfig]]) -> list[tuple[int, tuple[str, DictConfig]]]:
    """Jobs of one data set and network in a row, so that each is built once."""
    numbered = list(enumerate(configs))
    return sorted(numbered, key=lambda item: (item[1][1].dataset.name, str(item[1][1].get("model")), item[0]))


def _job(name: str, cfg: DictConfig, tried: Tried) -> Job:
    problems: list[str] = []
    classifier = None
    tried(problems, "settings", [cfg], lambda: validate(cfg))
    prepared = tried(problems, "dataset", [cfg.dataset.build], lambda: prepare_dataset(cfg))
    if not prepared and "roots" in cfg:
        problems[-1] += f"; several data sets have a root each here: roots.{cfg.dataset.name}=DIR"
    if not cfg.method.blind:
        settings = tried(problems, "model", [cfg.model, cfg.dataset.domain], lambda: network_settings(cfg))
        key = [settings, *(cfg.model.get(name) for name in ("class_map", "head", "outputs")), cfg.dataset.build]
        if settings and prepared:
            classifier = tried(problems, "network", key, lambda: prepare_classifier(cfg, prepared[0].classes))
        elif settings:
            tried(problems, "network", [settings], lambda: instantiate(settings.build))
    if not prepared or (classifier is None and not cfg.method.blind):
        raise Problems(problems)
    dataset, planned = prepared
    key = [cfg.method, cfg.model, cfg.dataset.domain]
    ready = tried(problems, "method", key, lambda: prepare(cfg, cfg.method, classifier, dataset, planned))
    if not ready and cfg.on_error == "skip" and len(problems) == 1:
        return Job(name, cfg.method.name, 0, (name,), refused=problems[0])
    if not ready:
        raise Problems(problems)
    left = tried(problems, "rows", [str(ready.folder), cfg.shard], lambda: remaining(cfg, ready, dataset.classes))
    if problems:
        raise Problems(problems)
    measures = tried(problems, "measure", [plain(cfg.get("measure") or {})], lambda: build_measures(cfg))
    if problems:
        raise Problems(problems)
    pairs = sum(len(todo) for _, _, todo in left)
    if measures and classifier is not None:
        entries = within(ready.planned, cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), cfg.draw)
        pairs = max(pairs, unobserved(requests_of(ready.folder, measures, None), entries, dataset.classes))
    return Job(name, cfg.method.name, pairs, (str(ready.folder), cfg.shard))


def _without_repeats(jobs: list[Job]) -> list[Job]:
    """Jobs that write the same rows (a blind method under two models, a subset) have only the rest left to do."""
    counted: dict[tuple, int] = {}
    result = []
    for job in jobs:
        before = counted.get(job.rows, 0)
        counted[job.rows] = max(before, job.left)
        result.append(replace(job, left=max(0, job.left - before)))
    return result
