"""Every statement of this suite about another program, run beside that program: does it hold, and who is faster?

    python -m scripts.peers                                    all programs that are installed
    python -m scripts.peers --peer grad-cam --only ScoreCAM --repeat 5
    python -m scripts.peers --out results/tables/peers.md

The built-in VGG16, one built-in picture of two classes, one thread. The status is 1 when a statement does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files.markdown import markdown_table
from scripts.command import Command, command

if TYPE_CHECKING:
    from scripts.peers.scene import Row

# The versions that the statements are about.
PEERS = {"grad-cam": "1.5.7", "captum": "0.9.0", "zennit": "0.5.1", "torchcam": "0.5.0", "torchray": "1.0.0",
         "quantus": "0.6.0", "scikit-learn": "1.9.1", "scipy": "1.17.1", "statsmodels": "0.15.0"}  # fmt: skip
SOURCES = {"torchray": "git+https://github.com/facebookresearch/TorchRay"}
HEAD = """# Statements about other programs

`python -m scripts.peers --out results/tables/peers.md`, {date}, one thread. Differences are the largest ones, the share
is of the other program's largest value, "stated" is what the share is at most, or at least where programs differ. The
speed is the other program's processor time over ours, the least of calls that take turns; below 1 ours is slower.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME", help=" ".join(PEERS))
    parser.add_argument("--only", nargs="+", metavar="WORD", help="statements with a word of these")
    parser.add_argument("--repeat", type=int, default=2, help="calls of each side; default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there too")


def act(arguments: argparse.Namespace) -> int:
    import torch

    from scripts.peers.scene import Scene

    torch.set_num_threads(1)
    scene, broken, absent = Scene(), 0, []
    lines = [["program", "statement", "difference", "share", "stated", "batches, ours and theirs", "speed"]]
    for peer in arguments.peer:
        try:
            version = metadata.version(peer)
        except metadata.PackageNotFoundError:
            absent.append(f"{peer} is not installed: `pip install {SOURCES.get(peer, f'{peer}=={PEERS[peer]}')}`")
            continue
        said = f"{peer} {version}" + ("" if version == PEERS[peer] else f" (the statements are about {PEERS[peer]})")
        for place in ("methods", "measures"):
            rows = getattr(import_module(f"scripts.peers.{place}"), peer.replace("-", "_"), lambda _: ())
            for row in rows(scene):
                if arguments.only and not any(word in row.statement for word in arguments.only):
                    continue
                cells, holds = beside(row, arguments.repeat)
                lines.append([said, row.statement, *cells])
                broken += not holds
                print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
    text = "\n".join([markdown_table(lines, texts=(0, 1, 4)), *([""] if absent else []), *absent])
    print(text)
    if arguments.out:
        arguments.out.write_text(f"{HEAD.format(date=time.strftime('%Y-%m-%d'))}{text}\n", encoding="utf-8")
    return 1 if broken else 0


def beside(row: Row, repeat: int) -> tuple[list[str], bool]:
    """(cells of the table, whether the statement holds)."""
    import numpy as np

    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(max(1, repeat if row.within > 0 else 1)):
        ours, theirs = (np.ravel(timed(*each)).astype(float) for each in zip(row[1:3], taken, strict=True))
    if ours.shape != theirs.shape:
        raise ValueError(f"{row.statement}: answers of the shapes {ours.shape} and {theirs.shape}")
    difference = float(np.abs(ours - theirs).max())
    share = difference / (float(np.abs(theirs).max()) or 1.0)
    holds = share <= row.within if row.within > 0 else share >= -row.within
    stated = f"{'≤' if row.within > 0 else '≥'} {abs(row.within):.0e}{'' if holds else ' **does not hold**'}"
    own, other = map(min, taken)
    speed = f"{other / own:.2f} ({other:.2g} / {own:.2g} s)" if row.within > 0 and row.batches != "–" else "–"
    return [f"{difference:.0e}", f"{share:.0e}", stated, row.batches, speed], holds


def timed(call: Callable[[], Any], seconds: list[float]) -> Any:
    """What the call returns; its processor time joins `seconds`."""
    quiet = io.StringIO()  # progress bars and remarks
    with warnings.catch_warnings(), contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        warnings.simplefilter("ignore")
        start = time.process_time()
        answer = call()
        seconds.append(time.process_time() - start)
    return answer


main = command(Command("scripts.peers", __doc__, add_arguments, act))
if __name__ == "__main__":
    sys.exit(main())
