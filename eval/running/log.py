"""A run's progress: a bar on a terminal, lines now and then elsewhere, and everything in a log file."""

import sys
import time
import traceback
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from eval.files.words import several

FIRST, EVERY = 5.0, 30.0  # seconds to the first line of progress, and between two


def say(what: str) -> None:
    """Now, on standard error: a line about what the user waits for."""
    print(f"{what} ...", file=sys.stderr, flush=True)


class Log:
    """Progress and notes of one run; use it in a `with` block.

    path: the file that lines are appended to, or None. title: names the run. total: pairs to evaluate.
    A log that cannot be written stops nothing: the rows are what counts.
    """

    def __init__(self, path: Path | None = None, title: str = "", total: int = 0):
        self.path = path
        self.title = title
        self.total = total
        self.done = 0

    def __enter__(self) -> "Log":
        self._started = self._shown = time.monotonic()
        self._bar = tqdm(total=self.total, desc=self.title, unit="pair", disable=None, dynamic_ncols=True)
        # The first picture waits for libraries, and for kernels that are compiled once.
        self.note(
            f"{self.title}: {several(self.total, 'pair')} to evaluate", terminal=bool(self._bar.disable and self.title)
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        how = "finished" if kind is None else f"stopped ({kind.__name__})"
        self.note(f"{how}: {self._progress()}", terminal=bool(self._bar.disable and self._shown > self._started))

    def advance(self, pairs: int) -> None:
        """Count pairs that are done."""
        self.done += pairs
        self._bar.update(pairs)
        now = time.monotonic()
        if now - self._shown >= (EVERY if self._shown > self._started else FIRST):
            self._shown = now
            self.note(self._progress(), terminal=bool(self._bar.disable))

    def _progress(self) -> str:
        seconds = time.monotonic() - self._started
        text = f"{self.title}: {self.done:,} of {several(self.total, 'pair')} in {_duration(seconds)}"
        if 0 < self.done < self.total:
            text += f", {_duration(seconds / self.done * (self.total - self.done))} left"
        return text

    def note(self, text: str, error: BaseException | None = None, terminal: bool = False) -> None:
        """A line in the file, with the error's traceback below it; on the terminal too with terminal=True."""
        if terminal:
            tqdm.write(text, file=sys.stderr)
        if self.path is None:
            return
        lines = [f"{datetime.now().astimezone().isoformat(' ', 'seconds')} {text}\n"]
        if error is not None:
            lines += ["    " + line for part in traceback.format_exception(error) for line in part.splitlines(True)]
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write("".join(lines))


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
