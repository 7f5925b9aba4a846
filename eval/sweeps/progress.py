"""A sweep's bookkeeping: how far it is, how long it will take, which jobs failed.

Every job leaves LOGS/<number>/job.json when it ends, wherever it ran; the process that started the sweep reads them.
"""

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from eval.files.words import several
from eval.records.rows import write_json


@dataclass(frozen=True)
class Job:
    """One run of a sweep. left: pairs it has to evaluate; rows: where it writes, two jobs of equal rows must not
    run at the same moment. refused: why the network cannot serve the method; such a job is left out."""

    name: str
    method: str
    left: int
    rows: tuple
    refused: str | None = None


def note(logs: Path, number: int, seconds: float, pairs: int, folders: list[str], error: str | None) -> None:
    """A job's last act: what it took, pairs it evaluated, the folders that hold its rows, None or why it failed."""
    content = {"pairs": pairs, "seconds": round(seconds, 3), "error": error, "folders": folders}
    write_json(logs / str(number) / "job.json", content)


def waves(jobs: dict[int, Job]) -> list[list[int]]:
    """The jobs' numbers in groups that may run side by side: no two of a group write the same rows."""
    seen: defaultdict[tuple, int] = defaultdict(int)
    grouped: defaultdict[int, list[int]] = defaultdict(list)
    for number, job in jobs.items():
        grouped[seen[job.rows]].append(number)
        seen[job.rows] += 1
    return [grouped[wave] for wave in sorted(grouped)]


class Progress:
    """What is known of a sweep. logs: its folder; jobs: in the order of their numbers, from 0."""

    def __init__(self, logs: Path, jobs: list[Job]):
        self.logs, self.jobs = logs, jobs
        self.ended: dict[int, dict] = {}
        self.started = time.monotonic()

    def opening(self) -> str:
        """What there is to do, in a sentence."""
        refused = sum(job.refused is not None for job in self.jobs)
        written = {job.rows for job in self.jobs if job.left}
        shared = sum(job.left == 0 and job.refused is None and job.rows in written for job in self.jobs)
        idle = sum(job.left == 0 for job in self.jobs) - refused - shared
        total = sum(job.left for job in self.jobs)
        out = f", {refused} left out" if refused else ""
        same = f", {shared} whose rows another one writes" if shared else ""
        jobs, pairs = several(len(self.jobs), "job"), several(total, "pair")
        return f"sweep of {jobs}, {idle} of them already complete{same}{out}: {pairs} to evaluate"

    def news(self) -> list[str]:
        """A line for every job that ended since the last call."""
        lines = []
        for number, job in enumerate(self.jobs):
            if number in self.ended:
                continue
            try:
                self.ended[number] = json.loads((self.logs / str(number) / "job.json").read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            result = "left out" if job.refused else "failed" if self.ended[number]["error"] else "done"
            elapsed = time.monotonic() - self.started
            line = f"job {len(self.ended)}/{len(self.jobs)} {result}: {job.name}; {duration(elapsed)} elapsed"
            left, whole = self.left(elapsed)
            if left or whole:
                line += f", {'about' if whole else 'at least'} {duration(left)} left"
            lines.append(line)
        return lines

    def left(self, elapsed: float) -> tuple[float, bool]:
        """(seconds to the end, whether that is all): what a pair took each method so far, times its pairs left, over
        as many jobs at a time as were seen. Methods that have not run yet are left out: their pace is unknown."""
        spent: defaultdict[str, float] = defaultdict(float)
        done: defaultdict[str, int] = defaultdict(int)
        for number, end in self.ended.items():
            spent[self.jobs[number].method] += end["seconds"]
            done[self.jobs[number].method] += end["pairs"]
        to_do = [job for number, job in enumerate(self.jobs) if number not in self.ended and job.left]
        known = [job for job in to_do if done[job.method]]
        work = sum(job.left * spent[job.method] / done[job.method] for job in known)
        return work / max(1.0, sum(spent.values()) / max(elapsed, 1e-9)), len(known) == len(to_do)

    def tell(self) -> None:
        """Print the news."""
        for line in self.news():
            print(line, flush=True)

    def failures(self) -> list[str]:
        """Name and message of every job that failed, and of those that never ended."""
        lines = []
        for number, job in enumerate(self.jobs):
            error = self.ended[number]["error"] if number in self.ended else "it did not run to its end"
            if error:
                lines.append(f"{job.name}: {error}")
        return lines

    def folders(self) -> list[Path]:
        """The folders that hold the sweep's rows."""
        return sorted({Path(name) for end in self.ended.values() for name in end["folders"]})


def duration(seconds: float) -> str:
    """1h05m, 3m07s, 42s"""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"
