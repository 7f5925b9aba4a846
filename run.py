"""Score an attribution method in the pointing game: `python run.py method=gpnncam dataset=pascal_diff`.

Settings are Hydra's: NAME=VALUE, a group's choice or any key of its file under conf/. A value of several, separated by
commas, and -m make a sweep, which ends in one table; so does an experiment.

  python run.py                                        GPNN-CAM, GradCAM and the centre on the built-in data
  python run.py method=gradcam model=vgg16 limit=20
  python run.py -m method=gradcam,gpnncam dataset=demo,demo_diff
  python run.py experiment=demo_table
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from eval.tables.terminal import any_terminal
from scripts.command import guarded, imports
from scripts.maintain.settings_page import settings_page


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python run.py",
        description=__doc__,
        epilog=settings_page(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true", help="a sweep over every value of several")
    parser.add_argument("--cfg", choices=("job", "all"), help="print the config and do nothing (all: of every job)")
    any_terminal()
    arguments = parser.parse_intermixed_args(argv)
    return guarded(lambda: run(arguments.settings, arguments.multirun, arguments.cfg))


def run(settings: Sequence[str], multirun: bool = False, show: str | None = None) -> int:
    """One job or a sweep; the exit status."""
    with imports():
        from eval.running.config import load, load_jobs
    if show == "job":
        return print_config([("", load(list(settings)))])
    sweeping, jobs = load_jobs(settings, multirun)
    if show:
        return print_config([(name, cfg) for name, _, cfg in jobs])
    if sweeping:
        with imports():
            from eval.sweeps.sweep import run_sweep
        return run_sweep(jobs)
    with imports():
        from eval.running.job import evaluate_job
        from eval.running.summary import summarise
    ((_, _, cfg),) = jobs
    outcome = evaluate_job(cfg)
    summarise(cfg, outcome)
    if outcome.complaint:
        raise RuntimeError(outcome.complaint)
    return 0


def print_config(configs: list) -> int:
    """Print each config as YAML."""
    from omegaconf import OmegaConf

    for name, cfg in configs:
        print(f"# {name}\n" if name else "", OmegaConf.to_yaml(cfg, resolve=False), sep="", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
