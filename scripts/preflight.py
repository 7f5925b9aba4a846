"""What a sweep needs, before any of it runs: every missing data set, weights file or setting at once.

    python -m scripts.preflight experiment=paper_table roots.pascal=DIR roots.imagenet=DIR

builds each data set and network of the sweep once (downloads included, where they are asked for) and says how many
pairs are left to evaluate. `python run.py` does the same before it starts the first job.
"""

import argparse
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

import run
from eval import runs
from eval.job import identity, network_settings, prepare, prepare_classifier
from eval.records import read_rows
from eval.runner import select
from eval.settings import shard_of, validate
from eval.sweep import Job


def preflight(configs: list[tuple[str, DictConfig]]) -> tuple[list[Job], list[str]]:
    """(jobs in the order of `configs`, problems); configs: (name, composed config) of every job.

    A problem is one message with the first job that has it; a job with a problem is not among the jobs.
    """
    jobs, problems, tried = {}, {}, Tried()
    for number, (name, cfg) in _by_network(configs):
        try:
            jobs[number] = _job(name, cfg, tried)
        except Problems as found:
            for message in found.messages:
                problems.setdefault(message, []).append(name)
    told = []
    for message, names in problems.items():
        more = f" and {len(names) - 1} more jobs" if len(names) > 1 else ""
        told.append(f"{message} ({names[0]}{more})" if names[0] else message)
    return _without_repeats([jobs[number] for number in sorted(jobs)]), told


class Problems(Exception):
    """Everything that keeps one job from starting."""

    def __init__(self, messages: list[str]):
        self.messages = messages


class Tried:
    """Remembers what failed, so that a download is not tried again for every job, and goes on to the next check."""

    def __init__(self):
        self.failed = {}

    def __call__(self, found: list[str], what: str, settings: list, make):
        """make(), or None with its message in `found`; equal `what` and settings are known to fail alike."""
        key = what
        try:
            key += "\n".join(OmegaConf.to_yaml(s, resolve=True) if OmegaConf.is_config(s) else str(s) for s in settings)
            if key not in self.failed:
                return make()
        except run.EXPECTED as error:
            self.failed[key] = str(error).strip() or repr(error)
        found.append(self.failed[key])
        return None


def _by_network(configs):
    """Jobs of one data set and network in a row, so that each is built once."""
    numbered = list(enumerate(configs))
    return sorted(numbered, key=lambda item: (item[1][1].dataset.name, str(item[1][1].get("model")), item[0]))


def _job(name: str, cfg: DictConfig, tried: Tried) -> Job:
    found, classifier = [], None
    tried(found, "settings", [cfg], lambda: validate(cfg))
    prepared = tried(found, "dataset", [cfg.dataset.build], lambda: prepare(cfg, run))
    if not prepared and "roots" in cfg:
        found[-1] += f"; several data sets have a root each here: roots.{cfg.dataset.name}=DIR"
    if not cfg.method.blind:
        settings = tried(found, "model", [cfg.model, cfg.dataset.domain], lambda: network_settings(cfg))
        if settings and prepared:
            make = lambda: prepare_classifier(cfg, prepared[0].classes, run)  # noqa: E731
            classifier = tried(found, "network", [settings, cfg.model.class_map, cfg.dataset.build], make)
        elif settings:
            tried(found, "network", [settings], lambda: run.instantiate(settings.build))
    if prepared and (classifier or cfg.method.blind):
        build = lambda: run.build_method(cfg.method, classifier, prepared[0].classes)  # noqa: E731
        tried(found, "method", [cfg.method, cfg.model, cfg.dataset.domain], build)
    if found:
        raise Problems(found)
    folder = runs.folder(Path(cfg.results), identity(cfg, cfg.method, classifier))
    dataset, planned = prepared
    if classifier:
        planned = planned.askable(classifier.outputs)
    rest = (cfg.dataset.subset, cfg.limit, shard_of(cfg.shard), read_rows(folder), dataset.classes)
    left = tried(found, "rows", [str(folder), cfg.shard], lambda: select(planned, *rest))
    if found:
        raise Problems(found)
    return Job(name, cfg.method.name, sum(len(asked) for _, _, asked in left), (str(folder), cfg.shard))


def _without_repeats(jobs: list[Job]) -> list[Job]:
    """Jobs that write the same rows (a blind method under two models, a subset) have only the rest left to do."""
    counted, result = {}, []
    for job in jobs:
        before = counted.get(job.rows, 0)
        counted[job.rows] = max(before, job.left)
        result.append(Job(job.name, job.method, max(0, job.left - before), job.rows))
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.preflight", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="+", metavar="SETTING=VALUE", help="as for run.py, an experiment or a sweep")
    try:
        jobs, problems = preflight(run.load_sweep(parser.parse_args(arguments).overrides))
    except run.EXPECTED as error:
        jobs, problems = [], [str(error)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    for job in jobs:
        print(f"{job.left:8d} pairs left  {job.name}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
