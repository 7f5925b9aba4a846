"""Classes of the data set that no output of the network stands for: named once a process, then counted."""

from collections.abc import Sequence

from eval.networks.classifier import Classifier

_named: list[list[str]] = []  # by this process


def unmapped(classifier: Classifier, classes: Sequence[str]) -> str | None:
    """A sentence about them, None where there are none. Their names are in it when this process first meets them: who
    continues a run learns what its numbers leave out, too."""
    lost = [name for name, outputs in zip(classes, classifier.outputs, strict=True) if not outputs]
    if not lost:
        return None
    names = "" if lost in _named else f": {', '.join(lost)}"
    _named.append(lost)
    return f"no output stands for {len(lost)} of {len(classes)} classes, whose pairs are left out{names}"
