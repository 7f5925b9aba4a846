"""One way to write a script: its docstring is the help, an expected error is one line, any terminal can print it."""

from __future__ import annotations

import argparse
import atexit
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from eval.tables.terminal import any_terminal

EXPECTED = (ValueError, OSError, LookupError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Command:
    """name: as in `python -m NAME`. description: the module's docstring, its first line what the command is for, with
    an example. add_arguments: fills the parser. act: does it; the exit status, None: 0."""

    name: str
    description: str | None
    add_arguments: Callable[[argparse.ArgumentParser], object]
    act: Callable[[argparse.Namespace], int | None]


def command(what: Command) -> Callable[[Sequence[str] | None], int]:
    """main(argv) -> exit status: parse, act, and put what a user can cause into one line."""

    def main(argv: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(
            prog=f"python -m {what.name}",
            description=what.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        what.add_arguments(parser)
        any_terminal()
        return guarded(lambda: what.act(parser.parse_intermixed_args(argv)))

    return main


def guarded(act: Callable[[], int | None]) -> int:
    """The exit status of act(), with one line for whatever a user can cause, Ctrl-C and SIGTERM included."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return act() or 0
    except KeyboardInterrupt:
        print("\ninterrupted: what was written is kept, and the same command continues", file=sys.stderr)
        return 130
    except Terminated:
        print("\nterminated: what was written is kept, and the same command continues", file=sys.stderr)
        return 143
    except BrokenPipeError:  # `| head` has read enough
        sys.stderr.close()
        return 0
    except EXPECTED as error:
        print(f"error: {str(error).strip() or repr(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        # By name: --help must not wait for either to be imported.
        if type(error).__module__.partition(".")[0] not in ("hydra", "omegaconf"):
            raise
        print(f"error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 1


@contextmanager
def imports() -> Iterator[None]:
    """For imports of large packages: without looking for garbage, which would be a fifth of a short call's time.

    What they made is left out of later searches too; nothing of it is freed before the end (`_thaw`).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@atexit.register
def _thaw() -> None:
    """Triton, which torchvision brings along, prints a page about leaks if it is not freed: a search of two seconds."""
    if "triton" in sys.modules:
        gc.unfreeze()


class Terminated(BaseException):
    """SIGTERM; no `except Exception` takes it for a failure of a picture."""


def _terminate(*_: object) -> None:
    raise Terminated
