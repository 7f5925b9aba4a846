"""The corpus of bad input, continued: COCO's and ImageNet's files, weights, ready-made heat maps.

MAPS: one picture of three is broken. The others: nothing can start.
"""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import torch

from eval.files.parsed import DEEPEST
from tests.bad_input import BAD, devkit, encoded, voc

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 50}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [{"id": 9, "image_id": 1, "category_id": 1, "bbox": [5, 6, 20, 30], "iscrowd": 0}],
}


def coco(change, *more: str):
    """A folder data set with one picture whose COCO file `change` (a function of its content, or bytes) breaks."""

    def make(folder: Path) -> list[str]:
        content = json.loads(json.dumps(COCO))
        data = change if isinstance(change, bytes) else json.dumps(change(content) or content).encode()
        (folder / "annotations.json").write_bytes(data)
        (folder / "a.jpg").write_bytes(encoded())
        return ["dataset=folder", f"dataset.root={folder}", "dataset.region=boxes", *more]

    return make


def set_in(part: str, **values):
    return lambda content: content[part][0].update(values)


RLE = {"size": [50, 60], "counts": "not a run length"}
COCO_FILES = {
    "COCO: no JSON": (coco(b"{"), "is no readable JSON"),
    "COCO: no UTF-8": (coco(b'{"images": "\xff"}'), "annotations.json"),
    "COCO: more levels than are read": (coco(b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)), "more than 100 levels"),
    "COCO: a list": (coco(lambda c: [1]), "has no list 'images'"),
    "COCO: no categories": (coco(lambda c: c.pop("categories") and None), "has no list 'categories'"),
    "COCO: an image without a name": (coco(lambda c: c["images"][0].pop("file_name") and None), "has no id or no file"),
    "COCO: an unlisted picture": (coco(set_in("annotations", image_id=7)), "not listed, the first has the id 7"),
    "COCO: two pictures of one id": (coco(lambda c: c["images"].append(c["images"][0])), "have one id"),
    "COCO: two classes of one name": (coco(set_in("categories", name="dog")), "two categories of one name"),
    "COCO: a lost picture": (coco(set_in("images", file_name="b.jpg")), "are missing"),
    "COCO: a name that leads out": (coco(set_in("images", file_name="../a.jpg")), "../a.jpg"),
    "COCO: an unknown category": (coco(set_in("annotations", category_id=5)), "unknown category_id 5"),
    "COCO: no size": (coco(set_in("images", width=None)), "the width is None, no number"),
    "COCO: no box": (coco(set_in("annotations", bbox=None)), "has no bbox"),
    "COCO: a box of words": (coco(set_in("annotations", bbox=["a", 1, 2, 3])), "no number"),
    "COCO: a box that is no number": (coco(set_in("annotations", bbox=[float("nan"), 1, 2, 3])), "not a coordinate"),
    "COCO: a negative width": (coco(set_in("annotations", bbox=[30, 6, -20, 30])), "empty or inverted"),
    "COCO: a box of 1e9": (coco(set_in("annotations", bbox=[5, 6, 1e9, 30])), "leaves the 60 x 50 picture"),
    "COCO: no mask": (coco(lambda c: None, "dataset.region=masks"), "annotation 9"),
    "COCO: a damaged mask": (coco(set_in("annotations", segmentation=RLE), "dataset.region=masks"), "annotation 9"),
    "COCO: a polygon of words": (coco(set_in("annotations", segmentation=[["a"] * 6]), "dataset.region=masks"), "9"),
    "COCO: an unknown region": (coco(lambda c: None, "dataset.region=circle"), "must be masks or boxes, not 'circle'"),
}


def imagenet(csv: str):
    def make(folder: Path) -> list[str]:
        (folder / "val").mkdir()
        (folder / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(encoded())
        (folder / "LOC_val_solution.csv").write_text(csv)
        return ["dataset=imagenet", f"dataset.root={folder}"]

    return make


HEAD, KEY = "ImageId,PredictionString\n", "ILSVRC2012_val_00000001"
IMAGENET_FILES = {
    "ImageNet: no header": (imagenet(f"{KEY},n01440764 1 2 3 4\n"), "does not begin with the columns"),
    "ImageNet: half a group": (imagenet(f"{HEAD}{KEY},n01440764 1 2 3\n"), "is not made of groups"),
    "ImageNet: an unknown synset": (imagenet(f"{HEAD}{KEY},n99999999 1 2 3 4\n"), "is no synset of ILSVRC2012"),
    "ImageNet: a box in words": (imagenet(f"{HEAD}{KEY},n01440764 1 2 x 4\n"), "is 'x', no number"),
    "ImageNet: a box outside": (imagenet(f"{HEAD}{KEY},n01440764 1 2 300 4\n"), "leaves the 60 x 50 picture"),
    "ImageNet: no box at all": (imagenet(HEAD), "has boxes in"),
    "ImageNet: a picture twice": (imagenet(f"{HEAD}{KEY},a\n{KEY},b\n"), "line 3: not one new picture"),
}


class Code:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def checkpoint(write, name="weights.pth"):
    def make(folder: Path) -> list[str]:
        write(folder / name)
        return ["dataset=demo", "model=resnet50", "method=gradcam", f"model.checkpoint={folder / name}"]

    return make


def cut(path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:900])


CHECKPOINTS = {
    "weights: not there": (checkpoint(lambda path: None), "there is no checkpoint"),
    "weights: a web page": (checkpoint(lambda path: path.write_text("<!doctype html>")), "HTML page"),
    "weights: a pickle that runs code": (
        checkpoint(lambda path: path.write_bytes(pickle.dumps({"a": Code(path.parent / "ran")}))),
        "refused",
    ),
    "weights: torch.save with code": (
        checkpoint(lambda path: torch.save({"a": Code(path.parent / "ran")}, path)),
        "refused",
    ),
    "weights: cut off": (checkpoint(cut), "weights.pth"),
    "weights: empty": (checkpoint(lambda path: path.write_bytes(b"")), "weights.pth"),
    "weights: a list": (checkpoint(lambda path: torch.save([1, 2], path)), "no mapping"),
    "weights: of another network": (checkpoint(lambda path: torch.save({"a": torch.zeros(3)}, path)), "does not fit"),
    "weights: damaged safetensors": (
        checkpoint(lambda path: path.write_bytes(b"\xff" * 64), "weights.safetensors"),
        "weights.safetensors",
    ),
}


def ready_made(write, *more: str):
    """Heat maps of another program, one of them broken."""

    def make(folder: Path) -> list[str]:
        base = devkit(folder)
        for number in (1, 2, 3):
            place = folder / "maps" / f"{number:06d}"
            place.mkdir(parents=True)
            for name in ("cat", "dog"):
                np.save(place / f"{name}.npy", np.random.default_rng(number).random((5, 5)))
        write(folder / "maps" / BAD / "cat.npy")
        return [*voc(base), "method=maps", f"method.folder={folder / 'maps'}", *more]

    return make


MAPS = {
    "maps: one is missing": (ready_made(lambda path: path.unlink()), "1 heat map missing"),
    "maps: not finite": (ready_made(lambda path: np.save(path, np.full((5, 5), np.nan))), "not finite"),
    "maps: of whole numbers": (ready_made(lambda path: np.save(path, np.ones((5, 5), int))), "floating-point"),
    "maps: three dimensions": (ready_made(lambda path: np.save(path, np.ones((5, 5, 3)))), "must hold one array"),
    "maps: another shape": (ready_made(lambda path: np.save(path, np.ones((6, 5)))), "has the shape"),
    "maps: a pickle": (ready_made(lambda path: np.save(path, [Code(path.parent / "ran")], True)), "not a readable"),
    "maps: empty": (ready_made(lambda path: path.write_bytes(b"")), "not a readable"),
}
