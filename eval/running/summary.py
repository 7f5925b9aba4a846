"""What a run or a sweep prints at its end: the table of its rows, and where its pictures are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from eval.game.protocol import Protocol
from eval.running.build import build_method
from eval.running.job import Outcome, methods_of, prepare_classifier, prepare_dataset
from eval.running.measuring import scores_of
from eval.running.settings import protocol_of
from eval.tables.table import print_runs

PICTURES = 4
WORDS = (
    "A pair is a picture and a class in it. All: every pair; Diff: those whose class covers less than a quarter of\n"
    "the picture, beside another class (Zhang et al., 2016). A hit: the map's highest point counts as on the class\n"
    "by the protocol's rule."
)
MARKS = "the frame is the class's box, the ring the map's highest point"


def summarise(cfg: DictConfig, outcome: Outcome) -> None:
    """Print the table of the outcome's runs and, for a method with maps, where its picture is. The picture is drawn
    once a run and again when rows were added."""
    protocol = protocol_of(cfg)
    print()
    print_runs(outcome.folders, protocol, _shown(cfg))
    print(f"\n{WORDS}")
    if cfg.method.blind:
        return
    path = Path(cfg.results) / "pictures" / f"{outcome.folders[0].name}.png"
    if outcome.pairs or not path.exists():
        _draw(cfg, protocol, path, failed={key for key, _ in [*outcome.failed, *outcome.unobserved]})
    if path.exists():
        print(f"\nA few pictures with their heat maps; {MARKS}: {path}")


def print_sweep(folders: Sequence[Path], configs: Sequence[DictConfig]) -> None:
    """Print the table of a sweep's runs under each of its jobs' protocols."""
    printed: list[Protocol] = []
    for cfg in configs:
        protocol = protocol_of(cfg)
        if folders and protocol not in printed:
            printed.append(protocol)
            print()
            print_runs(folders, protocol, _shown(*configs))
    if printed:
        print(f"\n{WORDS}")


def _shown(*configs: DictConfig) -> list[str]:
    """The scores of the tables: hits, and of each measure= the one that bears its name, or its first."""
    return list(dict.fromkeys(["hit", *(name for cfg in configs for name in scores_of(cfg))]))


def _draw(cfg: DictConfig, protocol: Protocol, path: Path, failed: set[str]) -> None:
    from eval.running.showcase import Shown, choose, showcase  # matplotlib takes a second to import

    dataset, planned = prepare_dataset(cfg)
    classifier = prepare_classifier(cfg, dataset.classes)
    planned = planned.scorable(classifier.outputs)
    # A picture that could not be evaluated would fail here too, and its error would hide the first one.
    planned = replace(planned, entries=[entry for entry in planned.entries if entry[1].key not in failed])
    pairs = choose(planned, PICTURES, cfg.limit)
    if not pairs:
        return
    methods = {}
    for method in methods_of(cfg):
        built = build_method(method, None if method.blind else classifier, dataset.classes)
        methods[method.get("label") or method.name] = Shown.of(built, method, protocol)
    showcase(pairs, methods, classifier, protocol, dataset.classes, cfg.seed, path)
