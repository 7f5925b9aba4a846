"""A sweep: check every job before the first one starts, run them here or elsewhere, end in the table of all."""

import secrets
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from eval.files.journal import make_folder
from eval.running.config import EXPECTED, load
from eval.running.job import Outcome, evaluate_job
from eval.running.settings import plain, protocol_of
from eval.running.summary import print_sweep
from eval.sweeps.preflight import preflight
from eval.sweeps.progress import Progress, note


def run_sweep(jobs: list[tuple[str, list[str], DictConfig]]) -> int:
    """Run (name, overrides, config) of every job; the exit status: 1 if one failed, was left out, or nothing could
    start."""
    planned, problems = preflight([(name, cfg) for name, _, cfg in jobs])
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems or all(job.refused for job in planned):
        for job in planned:
            if job.refused:
                print(f"error: {job.name}: {job.refused}", file=sys.stderr)
        print("nothing was started", file=sys.stderr)
        return 1
    configs = [cfg for *_, cfg in jobs]
    progress = Progress(_log_folder(Path(configs[0].results)), planned)
    print(progress.opening(), flush=True)
    calls = {}
    for number, (job, (_, overrides, _)) in enumerate(zip(planned, jobs, strict=True)):
        if job.refused:
            note(progress.logs, number, 0.0, 0, [], job.refused)
        else:
            calls[number] = (overrides, progress.logs, number)
    launcher = plain(configs[0].launcher)
    if launcher["cluster"] == "here":
        for call in calls.values():
            run_one(*call)
            progress.tell()
    else:
        from eval.sweeps.cluster import launch  # submitit takes a second to import

        launch(run_one, calls, launcher, progress)
    print_sweep(progress.folders(), configs)
    failures = progress.failures()
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    if configs[0].get("overview") and progress.folders():
        _overview(configs[0], progress.folders())
    if against := configs[0].get("against"):
        _print_comparison(Path(configs[0].results) / "records", against)
    return 1 if failures else 0


def run_one(overrides: list[str], logs: Path, number: int) -> None:
    """One job of a sweep, in whichever process; its note says how it ended, so that the others run on."""
    started = time.monotonic()
    outcome, error = attempt(lambda: _job(load(overrides)))
    seconds = time.monotonic() - started
    note(logs, number, seconds, outcome.pairs, [str(folder) for folder in outcome.folders], error)
    if error:
        print(f"error: {error}", file=sys.stderr, flush=True)


def attempt(act: Callable[[], Outcome]) -> tuple[Outcome, str | None]:
    """(what a job did, None or what went wrong); a mistake of the program's own shows its traceback."""
    try:
        outcome = act()
    except EXPECTED as expected:
        return Outcome(), str(expected).strip() or repr(expected)
    except Exception as mistake:
        traceback.print_exc()
        return Outcome(), repr(mistake)
    return outcome, outcome.complaint


def _job(cfg: DictConfig) -> Outcome:
    cfg.compare = False  # the sweep says itself what is compared
    return evaluate_job(cfg)


def _log_folder(results: Path) -> Path:
    """A folder that no other sweep has, whatever the clock says."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(3)}"
    folder = results.absolute() / "logs" / name
    make_folder(folder)
    return folder


def _overview(cfg: DictConfig, folders: list[Path]) -> None:
    from eval.tables.overview import print_overview

    print()
    print_overview(folders, protocol_of(cfg))


def _print_comparison(records: Path, against: str) -> None:
    from eval.tables.comparison import print_comparison

    print()
    print_comparison(records, against)
