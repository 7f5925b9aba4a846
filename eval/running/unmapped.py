"""Classes of the data set that no output of the network stands for: named once, counted afterwards."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from eval.networks.classifier import Classifier
from eval.records import runs

_named: list[list[str]] = []  # by this process


def unmapped(cfg: DictConfig, classifier: Classifier, classes: Sequence[str]) -> str | None:
    """A sentence about them, None where there are none. Their names are in it when the first run of this data set and
    network starts."""
    lost = [name for name, outputs in zip(classes, classifier.outputs, strict=True) if not outputs]
    if not lost:
        return None
    names = "" if lost in _named or _begun(cfg, classifier) else f": {', '.join(lost)}"
    _named.append(lost)
    return f"no output stands for {len(lost)} of {len(classes)} classes, whose pairs are left out{names}"


def _begun(cfg: DictConfig, classifier: Classifier) -> bool:
    """Whether a run of this data set and network has started that leaves out the same classes."""
    begun = f"{runs.escaped(str(cfg.dataset.name))}.{runs.escaped(str(cfg.model.name))}.*/run.json"
    for path in (Path(str(cfg.results)) / "records").glob(begun):
        # Reading its rows reports a damaged run.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if runs.read(path)["identity"]["model"]["outputs"] == classifier.outputs:
                return True
    return False
