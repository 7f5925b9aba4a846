"""Pictures for the page: a few pairs on which the methods disagree, with each method's heat map and point."""

import base64
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from tqdm import tqdm

from eval.files.words import several
from eval.game.pointing import points_or_maps, upscale
from eval.game.protocol import Protocol
from eval.game.smoothing import Smoothing
from eval.records import maps
from eval.records.loading import Run
from eval.running.build import build_classifier, build_dataset, build_method
from eval.running.identity import identity
from eval.running.method_call import call, seed_for
from eval.running.plan import plan
from eval.running.settings import plain
from eval.tables.cells import Cell
from eval.tables.layout import place

SHARE = 0.5  # of the largest run's pairs: a run with fewer has no say in which pictures are shown
SIDE = 208  # pixels of a picture's longer side on the page


class Gallery:
    """Collects the page's pictures; each is encoded once, however many protocols show it."""

    def __init__(self, count: int, recompute: bool):
        self.count, self.recompute = count, recompute
        self.images: dict[str, str] = {}
        self.items: list[dict] = []
        self.notes: list[str] = []
        self._samples: dict[str, dict] = {}
        self._seeds: dict[Run, Run] = {}

    def add(self, groups: list[list[Cell]]) -> None:
        """The pairs of one data set and network whose maps come from the same runs.

        groups: for each protocol its cells, one for each method, about all pairs or a subset.
        """
        groups = [[self._of_one_seed(cell) for cell in group] for group in groups]
        cells = [cell for group in groups for cell in group]
        runs = sorted({cell.run for cell in cells}, key=lambda run: place(run.method))
        try:
            samples = self._dataset(next((run for run in runs if run.model), runs[0]))
            chosen = choose(cells, self.count)
            if any(key not in samples for key, _ in chosen):
                raise ValueError("the data set no longer has the pictures that the rows are about")
            self._draw(runs, chosen, samples)
        except (ValueError, OSError, LookupError) as error:
            self._note(f"{runs[0].dataset}: no pictures to show. {error}")
            return
        for group in groups:
            self._list(sorted(group, key=lambda cell: place(cell.run.method)), chosen, samples)

    def _of_one_seed(self, cell: Cell) -> Cell:
        """The cell with the first of its run's seeds: a heat map is of one."""
        run = cell.run
        if not run.seeds:
            return cell
        if run not in self._seeds:
            first = run.seeds[0]
            self._seeds[run] = Run(first.folder, first.info, run.variant, run.shared_label)
            self._note(f"{run.label}: heat maps and points are those of seed {first.info['identity']['seed']}.")
        return replace(cell, run=self._seeds[run])

    def _list(self, cells: list[Cell], chosen: list[tuple[str, str]], samples: dict) -> None:
        first, by_run = cells[0], {cell.run: cell for cell in cells}
        for key, label in chosen:
            sample, classes = samples[key]
            width, height = sample.size
            boxes = sample.boxes[sample.labels == classes.index(label)].tolist()
            answers = []
            for run, cell in by_run.items():
                row = run.rows[(run.rows["key"] == key) & (run.rows["label"] == label)]
                if len(row):
                    point, name = row.iloc[0], self._name(run, key, label)
                    answers.append(
                        {
                            "method": run.method,
                            "x": float(point["x"]),
                            "y": float(point["y"]),
                            "hit": bool(cell.rule.values(row)[0]) if cell.rule.measure == "hit" else None,
                            "distance": float(point["distance"]),
                            "image": name if name in self.images else None,
                        }
                    )
            difficult = bool(
                first.run.rows.loc[first.run.rows["key"].eq(key) & first.run.rows["label"].eq(label), "difficult"].any()
            )
            self.items.append(
                {
                    "protocol": first.rule.label,
                    "dataset": first.run.dataset,
                    "model": first.model,
                    "key": key,
                    "label": label,
                    "difficult": difficult,
                    "size": [width, height],
                    "boxes": boxes,
                    "image": f"{first.run.dataset}/{key}",
                    "answers": answers,
                }
            )

    def _name(self, run: Run, key: str, label: str) -> str:
        return f"{run.folder.name}/{key}/{label}"

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            print(text, file=sys.stderr)

    def _dataset(self, run: Run) -> dict:
        """{key: (sample, classes)} of the run's data set."""
        if run.dataset not in self._samples:
            dataset = build_dataset(OmegaConf.create(run.info["config"]))
            entries = plan(dataset, on_error="skip").entries
            self._samples[run.dataset] = {sample.key: (sample, list(dataset.classes)) for _, sample, _ in entries}
        return self._samples[run.dataset]

    def _draw(self, runs: list[Run], chosen: list[tuple[str, str]], samples: dict) -> None:
        for key, _ in chosen:
            sample, _ = samples[key]
            self.images.setdefault(f"{runs[0].dataset}/{key}", encoded(_small(sample.image)))
        for run in runs:
            if run.model is None:
                continue
            moved, smoothing = 0, Smoothing.from_settings(run.info["identity"]["method"].get("smooth"))
            own = set(zip(run.rows["key"], run.rows["label"], strict=True))
            for (key, label), heat in self._heats(run, [pair for pair in chosen if pair in own], samples):
                image = np.asarray(samples[key][0].image)
                full = upscale(heat, samples[key][0].size, smoothing)
                row = run.rows[(run.rows["key"] == key) & (run.rows["label"] == label)].iloc[0]
                x, y = full.peak
                moved += np.hypot(x - row["x"], y - row["y"]) > 0.05 * max(full.values.shape)
                self.images[self._name(run, key, label)] = encoded(_small(overlay(image, full.values)))
            if moved:
                self._note(
                    f"{run.folder.name}: {several(moved, 'heat map')} with another highest point than the row's "
                    "(kept in half precision, or computed again on other hardware or versions); points are the rows'."
                )

    def _heats(self, run: Run, chosen: Sequence, samples: Mapping) -> Iterable:
        """((key, label), map (h,w)) as kept by save_maps, else computed again."""
        missing = []
        for key, label in chosen:
            path = maps.path(run.folder, key, label)
            if path.is_file():
                yield (key, label), np.load(path).astype(np.float32)
            else:
                missing.append((key, label))
        if missing and not self.recompute:
            self._note(f"{run.folder.name}: {several(len(missing), 'heat map')} not kept (save_maps=true keeps them).")
        elif missing:
            try:
                yield from _computed(run, missing, samples)
            except (ValueError, OSError, RuntimeError) as error:
                self._note(f"{run.folder.name}: heat maps cannot be computed again. {error}")


def _computed(run: Run, wanted: list[tuple[str, str]], samples: dict) -> Iterable:
    config = OmegaConf.create(run.info["config"])
    config.device = "auto"
    classes = run.info["classes"]
    protocol = Protocol.from_settings(OmegaConf.to_container(config.protocol))
    classifier = build_classifier(config, classes)
    methods = [config.method, *(config.get("companions") or {}).values()]
    method = next((each for each in methods if each.name == run.info["method"]), None)
    if method is None:
        raise ValueError("the settings of the method are not those of the run's first start")
    built = build_method(method, classifier, classes)
    who, _ = identity(config, method, built, classifier, classes)
    if changed := [part for part in who if who[part] != run.info["identity"][part]]:
        raise ValueError(f"what made the rows is not there any more: {', '.join(changed)} changed")
    shown = protocol.input.of_method(plain(method.get("input")))
    for key, label in tqdm(wanted, desc=f"heat maps {run.method}", unit="map", disable=None):
        pixels = shown.pixels(samples[key][0].image).to(classifier.device)
        target = torch.tensor([classes.index(label)])
        answer = call(built, pixels, target, seed_for(run.info["identity"]["seed"], key))
        yield (key, label), points_or_maps(answer, 1)[0]


def choose(cells: list[Cell], count: int) -> list[tuple[str, str]]:
    """(key, label) of up to `count` pairs, in turns from each way in which hits and misses fall.

    Every filter "A hits, B misses" finds pairs where there are any; the choice says nothing about how often. Within
    one pattern pairs are drawn from a fixed seed. Pairs that the most complete runs share come first: the trial of
    three pairs that somebody stopped decides nothing.
    """
    import pandas as pd

    table = pd.concat(
        [
            pd.Series(cell.rule.values(cell.run.rows), pd.MultiIndex.from_frame(cell.run.rows[["key", "label"]]))
            for cell in cells
        ],
        axis=1,
    ).sort_index()
    sizes = table.notna().sum()
    wide = table.loc[:, (sizes >= SHARE * sizes.max()).to_numpy()]
    answers = wide.notna().sum(axis=1)
    order = np.random.default_rng(0).permutation(len(table))
    chosen: list[tuple[str, str]] = []
    for tier in sorted(answers[answers > 0].unique(), reverse=True):
        patterns: dict[tuple, list] = {}
        for place_ in order:
            if answers.iloc[place_] == tier:
                patterns.setdefault(tuple(wide.iloc[place_].round(1).fillna(-1)), []).append(wide.index[place_])
        mixed = sorted(patterns, key=lambda pattern: (len(set(pattern)) == 1, -len(patterns[pattern]), pattern))
        while len(chosen) < count and any(patterns.values()):
            for pattern in mixed:
                if patterns[pattern] and len(chosen) < count:
                    chosen.append(patterns[pattern].pop())
    return chosen


def overlay(image: np.ndarray, heat: np.ndarray) -> Image.Image:
    """The picture (height,width,3) under its heat map (height,width), stretched to its own range."""
    from matplotlib import colormaps

    span = float(heat.max() - heat.min())
    scaled = (heat - heat.min()) / span if span > 0 else np.zeros_like(heat)
    alpha = (0.3 + 0.45 * scaled)[..., None]
    colours = 255 * colormaps["inferno"](scaled)[..., :3]
    return Image.fromarray(((1 - alpha) * image + alpha * colours).round().astype(np.uint8))


def _small(image: Image.Image) -> Image.Image:
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return image


def encoded(image: Image.Image) -> str:
    """A data: URI, so that the page needs no other file."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
