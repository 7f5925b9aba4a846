"""A picture that fails: one message that names it, a stop or a note, and a line among the failures."""

import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

from eval.files.places import ROOT
from eval.game.sample import Pair, Sample
from eval.records.rows import Rows
from eval.running.hints import hint
from eval.running.log import Log
from eval.running.network_guard import Changed


def place_of(error: BaseException) -> str:
    """ " in FILE, line N": the last line of the user's own code that the error passed; "" where it passed none."""
    # Ours and the libraries' lines would send him to code that he did not write.
    rooms = ("eval", "gpnncam", "baselines", "scripts", "run.py")
    others = (*(str(ROOT / name) for name in rooms), sysconfig.get_paths()["stdlib"], "<")
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(others)
        and not {"site-packages", "dist-packages"} & {*Path(frame.filename).parts}
    ]
    return f"{Path(own[-1].filename).name}, line {own[-1].lineno}: " if own else ""


class Failures:
    """The pictures that failed under on_error, in `failed` as (key, message).

    rows: the files whose rows are missing for it. on_error: "stop" raises RuntimeError at the first, "skip" goes on.
    """

    def __init__(self, log: Log, rows: Sequence[Rows], on_error: str, classes: Sequence[str]):
        self.log, self.rows, self.on_error, self.classes = log, rows, on_error, classes
        self.failed: list[tuple[str, str]] = []

    def note(self, sample: Sample, todo: list[Pair], error: Exception) -> None:
        """A picture's pairs `todo` have no row because of `error`."""
        if isinstance(error, Changed):
            raise error
        what = str(error).strip().removeprefix(f"{sample.key}: ")
        if not isinstance(error, (ValueError, OSError, LookupError)) or not what or isinstance(error, KeyError):
            what = f"{type(error).__name__}: {what}" if what else type(error).__name__
        what = f"{place_of(error)}{what}{hint(what)}"
        about = f"{self.log.title}: " if self.log.title else ""
        message = f"{about}picture {sample.key} ({', '.join(self.classes[pair.label] for pair in todo)}): {what}"
        # An error from a decoding process has no traceback here: its message says all.
        self.log.note(message, error if error.__traceback__ else None)
        if self.on_error == "stop":
            more = f" (traceback in {self.log.path})" if self.log.path and error.__traceback__ else ""
            raise RuntimeError(message + more) from error
        for file in self.rows:
            file.fail(sample.key, message)
        self.failed.append((sample.key, message))
        self.log.advance(len(todo))
