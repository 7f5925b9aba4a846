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

    A problem is one sentence with the first job that has it and how many there are; with a problem there may be
    fewer jobs than configs.
    """
    jobs, problems, broken = {}, {}, {}
    for number, (name, cfg) in _by_network(configs):
        found = _check(cfg, broken)
        for error in found:
            problems.setdefault(error, []).append(name)
        if not found:
            jobs[number] = _job(name, cfg)
    told = [
        f"{message} ({names[0]}{f' and {len(names) - 1} more jobs' if len(names) > 1 else ''})"
        for message, names in problems.items()
    ]
    return _without_repeats([jobs[number] for number in sorted(jobs)]), told


def _by_network(configs):
    """Jobs of one data set and network in a row, so that each is built once."""
    numbered = list(enumerate(configs))
    return sorted(numbered, key=lambda item: (item[1][1].dataset.name, str(item[1][1].get("model")), item[0]))


def _check(cfg: DictConfig, broken: dict[str, str]) -> list[str]:
    """Everything that keeps a job from starting; `broken` remembers what failed, so that it is tried once."""
    found = []

    def tried(key: str, make):
        if key not in broken:
            try:
                return make()
            except run.EXPECTED as error:
                broken[key] = str(error).strip() or repr(error)
        found.append(broken[key])
        return None

    tried(f"settings {OmegaConf.to_yaml(cfg)}", lambda: validate(cfg))
    prepared = tried(f"dataset {OmegaConf.to_yaml(cfg.dataset.build, resolve=True)}", lambda: prepare(cfg, run))
    classes, classifier = prepared[0].classes if prepared else None, None
    if not cfg.method.blind:
        settings = tried(f"variant {cfg.model.name} {cfg.dataset.name}", lambda: network_settings(cfg))
        key = f"network {settings and OmegaConf.to_yaml(settings, resolve=True)} {cfg.model.get('class_map')}"
        if settings and prepared:
            classifier = tried(key, lambda: prepare_classifier(cfg, classes, run))
        elif settings:
            tried(key, lambda: run.instantiate(settings.build))
    if prepared and (classifier or cfg.method.blind):
        tried(f"method {OmegaConf.to_yaml(cfg.method)} {key if classifier else ''}",
              lambda: run.build_method(cfg.method, classifier, classes))  # fmt: skip
    return found


def _job(name: str, cfg: DictConfig) -> Job:
    dataset, planned = prepare(cfg, run)
    classifier = None if cfg.method.blind else prepare_classifier(cfg, dataset.classes, run)
    folder = runs.folder(Path(cfg.results), identity(cfg, cfg.method, classifier))
    shard = shard_of(cfg.shard)
    if classifier:
        planned = planned.askable(classifier.outputs)
    left = select(planned, cfg.dataset.subset, cfg.limit, shard, read_rows(folder), dataset.classes)
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
