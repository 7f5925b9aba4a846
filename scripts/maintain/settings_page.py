"""The settings and choices of `python run.py`, as its --help prints them."""

from __future__ import annotations

import textwrap

from eval.files.places import CONF

SETTINGS = {
    "method= dataset= model= protocol= experiment= launcher=": "a file in the folder of that name under conf/, below",
    "dataset=NAME_diff": "the difficult pairs of dataset=NAME alone, whose table has them as the column Diff",
    "dataset.root=DIR": "where the data are; dataset.download=true fetches VOC2007 test",
    "limit=K": "only the data set's first K pictures",
    "seed=S": "every random number of a picture comes from (S, the picture's key)",
    "device=auto|cpu|cuda|cuda:1": "auto takes a GPU where there is one",
    "shard=i/n": "this process takes every n-th picture; all shards read as one run",
    "workers=W": "processes that decode ahead of the network",
    "batch_pictures=B": "pictures per call of a method that takes several",
    "save_maps=true": "keep the heat maps beside the rows",
    "on_error=stop|skip": "skip goes on after a bad picture, names it at the end and exits with 1",
    "results=DIR": "where rows, pictures and logs are written",
    "compare=false": "only the method itself, without GradCAM and the centre beside it",
}


def settings_page() -> str:
    """One screen: settings with their meanings, then the choices of each group."""
    lines = ["settings:"]
    for name, meaning in SETTINGS.items():
        lines.append(f"  {name:<29} {meaning}" if len(name) < 30 else f"  {name}\n  {'':<29} {meaning}")
    lines += ["", "choices:"]
    for group in sorted(path for path in CONF.iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        lines.append(
            textwrap.fill(f"{group.name + '=':<13}{names}", 118, initial_indent="  ", subsequent_indent=" " * 15)
        )
    return "\n".join([*lines, "", "A value with = , ( ) ' # or ~ is quoted twice: \"dataset.root='/data/a=b'\""])
