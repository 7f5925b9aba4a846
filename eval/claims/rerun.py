"""Some or all pictures of a claim evaluated anew, and their points compared. The only part that needs torch.

Nothing of a claim is executed: its config may name callables of this suite alone, and no text of it may lead to a file,
an address or other code. Code that came with a claim, or that must be installed, runs only where it is trusted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval.claims import claim, data
from eval.claims.claim import Claim
from eval.claims.data import There
from eval.claims.folder import CODE
from eval.claims.making import heads
from eval.claims.report import FAILS, HOLDS, NOTE, Report
from eval.running.config import instantiate, load

TOLERANCE = 1.0  # original pixels: a card and a processor sum in another order
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Wish:
    """pictures: how many are evaluated anew; None: all. overrides: NAME=VALUE, where data and weights lie here.
    trust_code: code that is none of this suite may run. tolerance: in original pixels."""

    pictures: int | None
    overrides: tuple[str, ...] = ()
    trust_code: bool = False
    tolerance: float = TOLERANCE


def drawn(read: Claim, count: int | None, at_hand: Collection[str] | None = None) -> list[str]:
    """Keys of the pictures that are evaluated anew: drawn by a hash of the rows, so that nobody chooses them and
    everybody draws the same. count None: all. at_hand: only these pictures lie here."""
    keys = [key for key in sorted(set(read.run.rows["key"])) if at_hand is None or key in at_hand]
    seed = hashlib.sha256(read.folder.files["rows.parquet"]).hexdigest()
    order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).hexdigest())
    return sorted(order[: len(keys) if count is None else count])


def foreign(read: Claim) -> list[str]:
    """What in a claim's config leads out of this suite: callables, modules, files and addresses."""
    config = [read.run.info["config"].get(part) for part in ("dataset", "model", "method")]
    known = claim.of_this_suite() | set(map(str, _leaves(_conf())))
    brought = _brought(read)
    found = set(claim.targets(config)) - claim.of_this_suite()
    for value in set(map(str, _leaves(config))) - known:
        top = value.partition(".")[0]
        code = bool(DOTTED.fullmatch(value)) and (top in brought or importlib.util.find_spec(top) is not None)
        if code or re.search(r"[/\\:~$]", value):
            found.add(value)
    return sorted(found)


def _brought(read: Claim) -> set[str]:
    return {name.partition("/")[0].removesuffix(".py") for name in read.folder.code}


def _leaves(settings: Any) -> list:
    if isinstance(settings, dict):
        return [leaf for value in settings.values() for leaf in _leaves(value)]
    if isinstance(settings, list | tuple):
        return [leaf for value in settings for leaf in _leaves(value)]
    return [settings] if isinstance(settings, str) else []


def _conf() -> list:
    import yaml

    from eval.files.places import CONF

    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CONF.glob("*/*.yaml"))]


def trusted(read: Claim, wish: Wish, say: Any) -> list[str]:
    """Why the claim's code may not run; empty: it may. Place and digest of all that is none of this suite are said
    before any of it is imported."""
    out = foreign(read)
    if not out and not read.folder.code:
        return []
    for name, text in sorted(read.folder.code.items()):
        place, digest = read.folder.place / CODE / name, hashlib.sha256(text).hexdigest()
        say(f"code that came with the claim: {place}, sha256 {digest}")
    for module in sorted({value.partition(".")[0] for value in out if DOTTED.fullmatch(value)}):
        spec = importlib.util.find_spec(module)
        if spec is not None:
            say(f"code that is installed here: {module}, {spec.origin or list(spec.submodule_search_locations or ())}")
    if wish.trust_code:
        return []
    return [f"not rerun: it names what is none of this suite ({', '.join(out)}), which runs only with --trust-code"]


def config_of(read: Claim, overrides: Sequence[str]) -> DictConfig:
    """The config that makes the claim's rows, with places from `overrides` alone. ValueError names one that is none."""
    cfg = load(["dataset=demo", "compare=false", "method=center"])
    said = read.run.info["config"]
    for part in ("dataset", "model", "method", "protocol"):
        if said.get(part) is not None:
            cfg[part] = OmegaConf.create(said[part])
    cfg.dataset.subset, cfg.seed = "all", read.who["seed"]
    if seen := read.who["input"]:
        cfg.protocol.input = OmegaConf.create(seen)
    from eval.running.identity import PLACES

    if OmegaConf.is_dict(cfg.model) and cfg.model.get("head") not in (None, *heads()):
        raise ValueError("run.json says where model.head lies; that is for whoever runs it to say")
    for part in ("dataset", "model", "method"):
        if OmegaConf.is_dict(cfg[part]) and OmegaConf.is_dict(cfg[part].get("build")):
            for place in PLACES.get(cfg[part].build.get("_target_"), ()):
                if OmegaConf.select(cfg[part].build, place) is not None:
                    raise ValueError(f"run.json says where {part}.{place} lies; that is for whoever runs it to say")
    for override in overrides:
        name, equals, value = override.partition("=")
        part, _, inner = name.partition(".")
        if not equals or part not in ("dataset", "model", "method", "device"):
            raise ValueError(
                f"--data takes dataset.root=DIR, model.checkpoint=FILE, device=cpu and the like, not {override!r}"
            )
        OmegaConf.update(cfg, name, value, force_add=True)
        if inner and inner in PLACES.get(OmegaConf.select(cfg, f"{part}.build._target_") or "", ()):
            OmegaConf.update(cfg, f"{part}.build.{inner}", value, force_add=True)
    return cfg


def there(read: Claim, overrides: Sequence[str]) -> There | None:
    """The claim's data set as it lies here; what the project knows of it where it does not lie here."""
    about = read.who["dataset"]
    build = about["build"]
    built_in = set(claim.targets(read.who["dataset"])) <= claim.of_this_suite() and not foreign(read)
    if not built_in or not (overrides or str(build.get("_target_")).startswith("eval.datasets.demo.")):
        return data.shipped(about)
    return data.here(instantiate(config_of(read, overrides).dataset.build), about)


def rerun(
    read: Claim, report: Report, wish: Wish, say: Any = print, figures: Path | None = None
) -> list[tuple[Path, str]]:
    """Step 4: the drawn pictures evaluated anew; adds its lines to the report.

    figures: a folder for a figure of each pair, where all points are the claim's; (file, what it shows) of them.
    """
    if refused := trusted(read, wish, say):
        report.add("rerun", NOTE, refused[0])
        return []
    place = str(read.folder.place / CODE)
    sys.path.append(place)  # last: it takes the place of no other module
    try:
        return _evaluate(read, report, wish, figures)
    except (ValueError, OSError, LookupError, RuntimeError, ImportError) as error:
        report.add("rerun", FAILS, f"it cannot be evaluated anew: {error}")
        return []
    finally:  # the next claim may bring modules of the same names
        sys.path.remove(place)
        for module in set(sys.modules):
            if module.partition(".")[0] in _brought(read):
                del sys.modules[module]


def _evaluate(read: Claim, report: Report, wish: Wish, figures: Path | None) -> list[tuple[Path, str]]:
    from eval.running import job
    from eval.running.evaluation import Evaluation
    from eval.running.score import Collected
    from eval.running.settings import plain, protocol_of, validate

    cfg = config_of(read, wish.overrides)
    validate(cfg)
    dataset, planned = job.prepare_dataset(cfg)
    seeing = None if cfg.method.blind else job.prepare_classifier(cfg, dataset.classes)
    ready = job.prepare(cfg, cfg.method, seeing, dataset, planned)
    _compare_identities(read.who, ready.who, report)
    rows, at_hand = read.run.rows, {sample.key for _, sample, _ in ready.planned.entries}
    keys = set(drawn(read, wish.pictures, at_hand))
    if away := set(rows["key"]) - at_hand:
        others = "others were drawn" if keys else "so none is evaluated anew"
        report.add("rerun", NOTE, f"{len(away):,} pictures do not lie here; {others}")
    if not keys:
        return []
    claimed = {(line.key, line.label): line for line in rows[rows["key"].isin(keys)].itertuples(index=False)}
    entries = []
    for index, sample, present in ready.planned.entries:
        todo = [pair for pair in present if (sample.key, dataset.classes[pair.label]) in claimed]
        entries += [(index, sample, todo)] if todo else []
    rules, made = protocol_of(cfg), Collected()
    with job.trusted_network():
        Evaluation(
            ready.method,
            seeing,
            rules.input.of_method(plain(cfg.method.get("input"))),
            made,
            dataset.classes,
            cfg.seed,
            smoothing=job.smoothing_of(cfg.method),
            shown=rules.input,
        ).run(entries)
    _compare_points(claimed, made.rows, report, wish.tolerance)
    report.rerun, report.of = len(keys), rows["key"].nunique()
    if figures is None or not report.passed("rerun"):
        return []
    from eval.running.showcase import Shown, showcase

    drawn_: list[tuple[Path, str]] = []
    shown = {read.said.label: Shown.of(ready.method, cfg.method, rules)}
    for sample, pair in [(sample, pair) for _, sample, todo in entries for pair in todo]:
        line = claimed[sample.key, dataset.classes[pair.label]]
        path = figures / f"{len(drawn_)}.jpg"
        showcase([(sample, pair)], shown, seeing, rules, dataset.classes, cfg.seed, path)
        where = f"highest point ({line.x:g}, {line.y:g}), {'inside' if line.inside else 'outside'}"
        drawn_.append((path, f"{sample.key}, {line.label}: {where}"))
    return drawn_


def _compare_identities(claimed: dict, ours: dict, report: Report) -> None:
    theirs, mine = dict(_flat(claimed)), dict(_flat(ours))
    for name in sorted(theirs.keys() | mine.keys()):
        if theirs.get(name) == mine.get(name):
            continue
        machine = any(part in MACHINE for part in name.split("."))
        text = f"{name} is {mine.get(name)} here, the claim says {theirs.get(name)}"
        report.add("rerun", NOTE if machine else FAILS, text)


# Parts of an identity that another machine may have otherwise: points tell whether that counts.
MACHINE = ("device", "libraries")


def _flat(settings: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(settings, dict):
        return [each for name, value in settings.items() for each in _flat(value, f"{prefix}.{name}".lstrip("."))]
    return [(prefix, settings)]


def _compare_points(claimed: dict, made: list[dict], report: Report, tolerance: float) -> None:
    again = {(row["key"], row["label"]): row for row in made}
    equal, near, apart = 0, 0, []
    for pair, line in claimed.items():
        row = again.get(pair)
        if row is None:
            apart.append(f"{' '.join(pair)} is no pair here")
            continue
        distance = max(abs(row["x"] - line.x), abs(row["y"] - line.y))
        same = row["constant"] == line.constant
        if distance == 0 and same and row["inside"] == line.inside:
            equal += 1
        elif distance <= tolerance and same and (row["inside"] == line.inside or distance > 0):
            near += 1
        else:
            apart.append(f"{' '.join(pair)} at ({row['x']:g}, {row['y']:g}), the claim says ({line.x:g}, {line.y:g})")
    counts = f"{equal:,} of {len(claimed):,} points equal, {near:,} within {tolerance:g} px"
    if apart:
        report.add(
            "rerun", FAILS, f"{len(apart):,} of {len(claimed):,} points are others: {'; '.join(apart[:3])}; {counts}"
        )
    else:
        report.add("rerun", HOLDS, counts)
