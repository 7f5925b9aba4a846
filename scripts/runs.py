"""Lists the runs that lie in a folder of records, and removes those that you name.

  python -m scripts.runs                                  name, rows, date, commit, and the settings that differ
  python -m scripts.runs --records other/records
  python -m scripts.runs remove demo.resnet50.mine.1a2b3c4d           asks first
  python -m scripts.runs remove mine --yes                every run of that method, without asking
  python -m scripts.runs remove .mine.                    every run whose name holds the text, if the answer is yes

A run that a living process writes is not removed. Tables leave runs out without removing them: scripts.table --exclude.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval.files.words import several
from scripts.command import Command, command

if TYPE_CHECKING:
    from eval.records.loading import Run, Unreadable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="remove NAME", help="nothing: list; remove and names of runs")
    parser.add_argument("--records", type=Path, default=Path("results/records"), metavar="DIR", help="%(default)s")
    parser.add_argument("--yes", action="store_true", help="remove without asking")


def act(arguments: argparse.Namespace) -> int:
    from eval.records.loading import all_in, tell_apart

    runs, bad = all_in(arguments.records)
    tell_apart(runs)
    if not arguments.what:
        return listed(runs, bad, arguments.records)
    action, *names = arguments.what
    if action != "remove" or not names:
        raise ValueError(f"scripts.runs lists, or takes: remove NAME ...; not {' '.join(arguments.what)}")
    folders = list(dict.fromkeys(folder for name in names for folder in meant(name, runs, bad, arguments.yes)))
    for folder in folders:
        print(f"{folder.name}  {described(folder, runs)}")
    if not arguments.yes and not agreed(len(folders)):
        print("nothing removed")
        return 1
    from eval.records.removing import remove

    for folder in folders:
        remove(folder)
        print(f"removed {folder.name}")
    return 0


def listed(runs: list[Run], bad: list[Unreadable], records: Path) -> int:
    """Print a line per run, its settings that differ on a second one."""
    if not runs and not bad:
        print(f"{records} holds no run")
    for run in runs:
        print(f"{run.folder.name}  {described(run.folder, runs)}")
        if run.variant:
            print(f"    {run.variant}")
    for each in bad:
        print(f"{each.folder.name}  cannot be read: {each.why}")
    return 0


def described(folder: Path, runs: list[Run]) -> str:
    """Rows, date and commit of a run in words."""
    run = next((run for run in runs if run.folder == folder), None)
    if run is None:
        return "cannot be read"
    try:
        count = f"{len(run.rows):,} of {run.info['pairs']['all']:,} rows"
    except (ValueError, OSError) as error:
        count = f"rows cannot be read ({error})"
    made = run.info["provenance"]
    commit = (made.get("commit") or "no commit")[:10] + (" with changes" if made.get("dirty") else "")
    return f"{count}  {str(made.get('date', ''))[:16].replace('T', ' ')}  {commit}"


def meant(name: str, runs: list[Run], bad: list[Unreadable], exactly: bool = False) -> list[Path]:
    """The folders that a name means: a folder's own, else a method's or label's, else all whose name holds it.

    exactly: nobody is asked, so ValueError lists the last kind."""
    from eval.files.places import near

    folders = [run.folder for run in runs] + [each.folder for each in bad]
    exact = [folder for folder in folders if folder.name == name]
    method = [run.folder for run in runs if name in names_of(run)]
    matching = exact or method or [folder for folder in folders if name in folder.name]
    if not matching or not name:
        known = (
            near(name, {folder.name for folder in folders} | {each for run in runs for each in names_of(run)}) or "none"
        )
        raise ValueError(f"there is no run {name!r}; near names: {known}")
    if exactly and not exact and not method:
        listed = "".join(f"\n  {folder.name}" for folder in matching)
        raise ValueError(
            f"no run or method is called {name!r}; without --yes you are asked about those that hold it:{listed}"
        )
    return matching


def names_of(run: Run) -> set[str]:
    """What a user may call a run beside its folder's name: method and label, with the variant and without."""
    return {run.method, run.label, run.info["method"], run.info["label"]}


def agreed(count: int) -> bool:
    """Ask on the terminal. ValueError where nobody can answer."""
    if not sys.stdin.isatty():
        raise ValueError("nobody can answer here whether to remove them: --yes removes without asking")
    return input(f"remove {several(count, 'run')} and all rows? [y/N] ").strip().lower() in ("y", "yes")


main = command(Command("scripts.runs", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
