"""Tables in Markdown."""

import re
from collections.abc import Sequence


def markdown_table(lines: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A table whose columns line up in a terminal, the head first: numbers right, texts left (those of columns `texts`
    with digits too)."""
    left = [i in texts or all(not re.search(r"\d", line[i]) for line in lines[1:]) for i in range(len(lines[0]))]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(cells[0]))]

    def row(line: Sequence[str]) -> str:
        texts = (t.ljust(w) if is_left else t.rjust(w) for t, w, is_left in zip(line, widths, left, strict=True))
        return "| " + " | ".join(texts) + " |"

    rule = "|".join("-" * (w + 2) if is_left else "-" * (w + 1) + ":" for w, is_left in zip(widths, left, strict=True))
    return "\n".join([row(cells[0]), f"|{rule}|", *(row(line) for line in cells[1:])])
