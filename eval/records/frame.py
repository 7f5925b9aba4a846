"""Rows in pandas: one line for further analysis."""

from pathlib import Path

import pandas as pd

from eval.records.loading import Run, load_run, load_runs, tell_apart

# The columns about the run of each row; those of eval/records/schema.py follow.
ORIGIN = ("run", "dataset", "model", "method", "method_label", "seed")


def frame_of(place: str | Path) -> pd.DataFrame:
    """All rows of a run's folder, or of all runs in a folder of runs ("results/records"), a line per (picture, class).

    Columns: ORIGIN, then those of eval/records/README.md. Keys of digits stay texts. ValueError or FileNotFoundError
    says what cannot be read; among several runs none is left out.
    """
    place = Path(place)
    if (place / "run.json").is_file():
        runs = [load_run(place)]
    else:
        runs, bad = load_runs(place)
        if bad:
            raise ValueError(f"{bad[0].folder}: {bad[0].why}")
    tell_apart(runs)
    return pd.concat([_labelled(run) for run in runs], ignore_index=True)


def _labelled(run: Run) -> pd.DataFrame:
    rows = run.rows.copy()
    values = (run.folder.name, run.dataset, run.model, run.method, run.label, run.info["identity"]["seed"])
    for place, (name, value) in enumerate(zip(ORIGIN, values, strict=True)):
        rows.insert(place, name, value)
    return rows
