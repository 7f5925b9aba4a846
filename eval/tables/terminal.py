"""Text that any terminal can show, without control characters that it would obey."""

import codecs
import sys
from typing import Any, TextIO

# Substitutes for a terminal that knows ASCII alone.
ASCII = {"–": "-", "−": "-", "…": "...", "±": "+-", "†": "*", "✓": "+", "✗": "x", "·": "-", "×": "x", "≥": ">="}


def any_terminal() -> None:
    """Make standard output and error print whatever they cannot encode as what is nearest to it, and no control
    character: a name in a file must not move a cursor."""
    codecs.register_error("nearest", _nearest)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="nearest")
            if not isinstance(stream, Printable):
                setattr(sys, name, Printable(stream))


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(ASCII.get(c, "?") for c in error.object[error.start : error.end]), error.end


def printable(text: str) -> str:
    r"""The text with its control characters as \x1b, line breaks and tabs aside."""
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t\r" or c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text
    )


class Printable:
    r"""A text stream that writes control characters as text. Progress bars write to a terminal by `\r` themselves and
    ask for the stream below (`tqdm.write` and bars use sys.stderr as it was)."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """As of the stream below."""
        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
