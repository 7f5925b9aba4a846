"""What a run shows at its end: a small table of the methods it ran, and a picture of a few of their maps."""

from pathlib import Path

from omegaconf import OmegaConf

from eval.job import Outcome, methods_of, prepare, prepare_classifier, smoothing_of
from eval.protocol import Protocol
from eval.runner import Plan
from eval.table import print_runs

PICTURES = 4


def summarise(cfg, outcome: Outcome, build) -> None:
    """Print the table of the outcome's runs and, for a method with maps, where its picture is; see eval/job.py for
    cfg and build. The picture is drawn once a run and again when rows were added."""
    protocol = Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    print()
    print_runs(outcome.folders, protocol)
    if cfg.method.blind:
        return
    path = Path(cfg.results) / "pictures" / f"{outcome.folders[0].name}.png"
    if outcome.pairs or not path.exists():
        _draw(cfg, protocol, path, build, failed={who for who, _ in outcome.failed})
    if path.exists():
        print(f"\nA few pictures with their heat maps and points: {path}")


def print_sweep(folders: list[Path], protocols: list) -> None:
    """Print the table of a sweep's runs under each of its jobs' protocols."""
    found = []
    for settings in protocols:
        protocol = Protocol.from_settings(OmegaConf.to_container(settings, resolve=True))
        if folders and protocol not in found:
            found.append(protocol)
            print()
            print_runs(folders, protocol, brief=False)


def _draw(cfg, protocol: Protocol, path: Path, build, failed: set[str]) -> None:
    from eval.showcase import Shown, choose, showcase  # matplotlib takes a second to import

    dataset, planned = prepare(cfg, build)
    classifier = prepare_classifier(cfg, dataset.classes, build)
    planned = planned.askable(classifier.outputs)
    # A picture that could not be evaluated would fail here too, and hide what is said about it.
    planned = Plan([entry for entry in planned.entries if entry[1].key not in failed], planned.failed)
    if not planned.entries:
        return
    methods = {}
    for method in methods_of(cfg):
        made = build.build_method(method, None if method.blind else classifier, dataset.classes)
        source = None if method.blind else protocol.input.of_method(method.get("input"))
        methods[method.get("label") or method.name] = Shown(made, source, smoothing_of(method))
    showcase(choose(planned, PICTURES, cfg.limit), methods, classifier, protocol, dataset.classes, cfg.seed, path)
