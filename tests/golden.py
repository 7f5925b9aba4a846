"""Numbers kept beside the version of the code that gives them: `python -m tests.golden` writes tests/golden.json anew.

An entry holds a name's versions (what `identity` holds of its code), a digest of its settings, and arrays kept
coarsely: on a grid of at most 8 x 8, as shares of the span. Raising a version without new numbers, and changing numbers
without raising it, are both errors, each with the sentence that says what to do. Nothing is written for an entry whose
numbers changed at an equal version.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from eval.datasets.demo import Demo
from eval.game.region import Region
from eval.game.smoothing import Smoothing
from eval.measures.map_measures import cases_of, observe
from eval.networks import demo
from eval.networks.classifier import Classifier
from eval.records.provenance import weights_digest
from eval.records.schema import SCHEMA
from eval.running.build import build_method
from eval.running.config import load
from eval.running.method_call import call
from eval.running.settings import plain
from eval.running.source_code import code_of
from gpnncam import fill, sources, variations
from gpnncam.cam import GPNNCAM
from gpnncam.levels import VERSION
from tests.test_contract import CLASSES, FOLDERS, METHODS, SHORT, TRANSFORMERS, Small, classifier_for

FILE = Path(__file__).with_suffix(".json")
GRID = 8
CLOSE = 1e-3  # of the span: sums in another order (another BLAS, another number of threads) move less
CHEAP = SHORT | {
    "ablationcam": ["method.build.batch=4"],
    "occlusion": ["method.build.window=16", "method.build.stride=8"],
    "gpnncam": ["method.build.n=3"],
}
TARGETS = [0, 2]
WRITE = "python -m tests.golden"


def picture(height: int = 40, width: int = 48) -> Tensor:
    """(3,height,width) of 8 bits: a gradient with three blobs. Without functions whose last bit a processor decides."""
    y, x = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width]
    image = np.stack([0.2 + 0.3 * x, 0.5 - 0.3 * y, 0.3 + 0.2 * np.abs((3 * x + 2 * y) % 2 - 1)])
    for channel, (row, column) in enumerate([(0.3, 0.2), (0.7, 0.8), (0.25, 0.75)]):
        image[channel] += 0.4 / (1 + 40 * ((y - row) ** 2 + (x - column) ** 2))
    return torch.from_numpy(np.round(image.clip(0, 1) * 255).astype(np.float32)) / 255


def classifier() -> Classifier:
    """The small network of the contract test with weights that are the same everywhere."""
    network = Small(spatial=False)
    draw = np.random.Generator(np.random.PCG64(3))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                values = (2 * draw.random(parameter.shape) - 1) * np.sqrt(3 / parameter[0].numel())
            else:
                values = (parameter.detach().numpy() != 0) + 0.2 * draw.random(parameter.shape)
            parameter.copy_(torch.from_numpy(values))
    # Behind `middle` the network is not linear: there the CAMs' formulas differ.
    layers = {"cam": ["middle"], "gpnncam": ["last", "middle"], "relevance": ["middle"]}
    return Classifier(network, [0.5] * 3, [0.25] * 3, layers, CLASSES, outputs=[[0], [1, 2], [3]])


class Blind:
    """What a method without a network is given."""

    key, size = "a/b", (60, 40)


def method_entry(name: str, folder: Path) -> dict:
    """The entry of a config in conf/method; folder: for the files of method=maps."""
    settings = load([f"method={name}", *CHEAP.get(name, [])]).method
    digest = hashlib.sha256(OmegaConf.to_yaml(settings.build, sort_keys=True).encode())
    if name in FOLDERS:
        settings.folder = str(folder)
        place = folder / "a" / ("b" if name == "maps" else "c")
        for number, label in enumerate(CLASSES):
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"{label}.npy", np.arange(12, dtype=np.float32).reshape(3, 4) ** (number + 1))
    seeing = classifier_for(name) if name in TRANSFORMERS else classifier()
    method = build_method(settings, None if settings.blind else seeing, CLASSES)
    answer = call(method, Blind() if settings.blind else picture(), torch.tensor(TARGETS), seed=3)
    versions, _ = code_of(plain(settings.build))
    return {"versions": versions, "settings": digest.hexdigest()[:8], "numbers": [coarse(each) for each in answer]}


def other_entries() -> Iterator[tuple[str, Callable[[], dict]]]:
    """(name, entry maker) of all that has numbers and is no method."""
    cam, own = {"gpnncam.cam.GPNNCAM": GPNNCAM.version}, {"gpnncam": f"generator {VERSION}"}
    yield "generator", lambda: entry(own, variations(picture(), 2, 3).pixels)
    yield (
        "generator, exact, completeness",
        lambda: entry(own, variations(picture(), 1, 3, search="exact", alpha=0.005, iterations=(1, 3, 1)).pixels),
    )
    hole = torch.zeros(40, 48, dtype=torch.bool)
    hole[10:24, 12:30] = True
    yield "fill", lambda: entry(own, fill(picture(), hole, seed=3).pixels[None])
    for name, source in (("noise", sources.noise()), ("flip_crop", sources.flip_crop())):
        yield f"source {name}", partial(lambda source: entry(cam, source(picture(), 2, 3).pixels), source)
    for split in ("test", "train"):
        yield f"built-in pictures, {split}", partial(pictures_entry, split)
    for name in ("vgg16", "resnet50"):
        yield f"built-in network {name}", partial(network_entry, getattr(demo, name))
    yield "observation", observation_entry


def entry(versions: dict[str, str], arrays: Tensor) -> dict:
    return {"versions": versions, "settings": "", "numbers": [coarse(each) for each in arrays]}


def pictures_entry(split: str) -> dict:
    samples = list(Demo(split, count=2))
    images = torch.from_numpy(np.stack([np.asarray(sample.image) for sample in samples])).permute(0, 3, 1, 2) / 255
    boxes = [torch.from_numpy(np.column_stack([each.boxes, each.labels, each.hard])).double() for each in samples]
    made = entry({"eval.datasets.demo.Demo": f"version {Demo.version}"}, images)
    return made | {"numbers": made["numbers"] + [whole(each) for each in boxes]}


def network_entry(build: Callable) -> dict:
    network = build()
    pixels = torch.nn.functional.interpolate(picture()[None], (224, 224), mode="nearest")
    with torch.no_grad():
        output = network((pixels - torch.tensor(demo.MEAN).view(3, 1, 1)) / torch.tensor(demo.STD).view(3, 1, 1))
    versions = {"weights": weights_digest(network), "eval.records.schema": f"schema {SCHEMA}"}
    return {"versions": versions, "settings": "", "numbers": [whole(output.double())]}


def observation_entry() -> dict:
    """What rows hold of two maps and two regions, the smoothed map among them."""
    maps = np.stack([picture()[0, ::4, ::4].numpy(), -picture()[1, ::4, ::4].numpy()]).astype(float)
    box = Region.from_boxes(np.array([[5, 10, 30, 50], [70, 2, 90, 40]]), (97, 61))
    mask = np.hypot(*np.ogrid[-30:31, -48:49]) < 20
    numbers = []
    for smoothing in (Smoothing(), Smoothing(0.05)):
        for row in observe(cases_of(maps, (97, 61), [box, Region.from_mask(mask)], smoothing)):
            numbers.append(whole(torch.tensor([float(v) for _, v in sorted(row.items()) if v is not None])))
    return {"versions": {"eval.records.schema": f"schema {SCHEMA}"}, "settings": "", "numbers": numbers}


def coarse(array: Tensor) -> dict:
    """(...,h,w) or points (2,): the lowest value, the span, the deviation, and means on a grid of at most 8 x 8."""
    array = array.detach().double()
    if array.ndim < 2:
        return whole(array)
    size = [min(side, GRID) for side in array.shape[-2:]]
    means = torch.nn.functional.adaptive_avg_pool2d(array.reshape(-1, 1, *array.shape[-2:]), size)
    low, span = float(array.min()), float(array.max() - array.min())
    shares = ((means - low) / (span or 1)).flatten().tolist()
    deviation = float(array.std(correction=0)) / (span or 1)
    kept = {"shape": list(array.shape), "low": float(f"{low:.6g}"), "span": float(f"{span:.6g}")}
    return kept | {"values": [round(deviation, 5), *(round(share, 4) for share in shares)]}


def whole(array: Tensor) -> dict:
    """All values, as shares of the largest."""
    span = float(array.abs().max())
    values = [round(value / (span or 1), 5) for value in array.flatten().tolist()]
    return {"shape": list(array.shape), "low": 0.0, "span": float(f"{span:.6g}"), "values": values}


def numbers_differ(ours: list[dict], kept: list[dict]) -> bool:
    """Whether two entries' numbers differ by more than CLOSE of a span."""
    if [each["shape"] for each in ours] != [each["shape"] for each in kept]:
        return True
    for our, other in zip(ours, kept, strict=True):
        span = other["span"]
        moved = max(abs(our["low"] - other["low"]), abs(our["span"] - span))
        if moved > CLOSE * span or np.abs(np.subtract(our["values"], other["values"])).max() > CLOSE:
            return True
    return False


def verdict(name: str, ours: dict, kept: dict | None) -> str | None:
    """None where the entry agrees with the kept one, else what is wrong and what to do."""
    if kept is None:
        return f"{name} has no golden numbers: {WRITE}"
    if ours["versions"] != kept["versions"]:
        return f"{name} is of {ours['versions']} now, the golden numbers are of {kept['versions']}: {WRITE}"
    if ours["settings"] != kept["settings"]:
        return f"the settings of {name} have changed, and with them its runs: {WRITE}"
    if numbers_differ(ours["numbers"], kept["numbers"]):
        return (
            f"the numbers of {name} have changed, and its version has not ({ours['versions']}), so old rows would be "
            f"taken for new ones: raise that version (or undo the change), then {WRITE}"
        )
    return None


def entries(folder: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    """(name, entry maker) of everything; method=custom is the user's own."""
    for name in METHODS:
        if name != "custom":
            yield f"method {name}", partial(method_entry, name, folder)
    yield from other_entries()


def written(kept: dict[str, dict], now: dict[str, dict]) -> tuple[dict[str, dict], list[str]]:
    """(what to write, verdicts that forbid it): an entry that agrees stays to the last digit."""
    new, bad = {}, []
    for name, ours in now.items():
        said = verdict(name, ours, kept.get(name))
        new[name] = kept[name] if said is None else ours
        if said is not None and "its version has not" in said:
            new[name] = kept[name]
            bad.append(said)
    return new, bad


def main() -> None:
    import tempfile

    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        new, bad = written(kept, {name: make() for name, make in entries(Path(folder))})
    lines = [f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}" for name, each in new.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{sum(kept.get(name) != each for name, each in new.items())} entries of {len(new)} are new in {FILE.name}")
    sys.exit("\n".join(bad) or 0)


if __name__ == "__main__":
    main()
