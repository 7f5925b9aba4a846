"""A corpus of bad input: for each case how to make it under a folder, and what the message must say.

VOC_XML, VOC_PICTURE: one picture of three is broken; with on_error=skip the other two keep their rows.
SETTINGS, FILES: nothing can start.
"""

import io
import json
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests import voc_devkit

BAD, SIZE = "000002", (60, 50)
TINY = [
    "model=custom",
    "model.build._target_=tests.bad_input.tiny",
    "model.mean=[0.5,0.5,0.5]",
    "model.std=[0.2,0.2,0.2]",
    "model.layers.cam=['0']",
    "protocol.input.side=32",
    "method=gradcam",
]


def tiny():
    """A network for 20 classes that takes no time."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 20))


def devkit(folder: Path) -> Path:
    """Three sound pictures; returns the folder VOC2007."""
    objects = [("cat", (5, 6, 30, 40), False), ("dog", (20, 10, 55, 45), False)]
    annotations = [{"key": f"{n:06d}", "size": SIZE, "objects": objects} for n in (1, 2, 3)]
    return voc_devkit.write(folder, annotations) / "VOC2007"


def voc(root: Path) -> list[str]:
    return ["dataset=pascal", f"dataset.root={root}"]


SOUND = voc_devkit.xml({"key": BAD, "size": SIZE, "objects": [("cat", (5, 6, 30, 40), False)]})
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def changed(old: str, new: str) -> bytes:
    assert old in SOUND
    return SOUND.replace(old, new).encode()


def box(xmin, ymin, xmax, ymax) -> bytes:
    return changed(
        "<xmin>5</xmin><ymin>6</ymin><xmax>30</xmax><ymax>40</ymax>",
        f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>",
    )


def size(width, height) -> bytes:
    return changed("<width>60</width><height>50</height>", f"<width>{width}</width><height>{height}</height>")


VOC_XML = {
    "entities that grow without end": (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>'.encode(), "is refused"),
    "an entity that reads a file": (
        b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><annotation><filename>&f;</filename></annotation>',
        "is refused",
    ),
    "a document type on the web": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><annotation/>', "is refused"),
    "parameter entities": (b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]><a/>', "is refused"),
    "no size": (changed("<size><width>60</width><height>50</height><depth>3</depth></size>", ""), "has no <size>"),
    "no width": (changed("<width>60</width>", ""), "has no <size> with <width>"),
    "a size of zero": (size(0, 50), "0 x 50 pixels does not exist"),
    "a negative size": (size(-60, 50), "-60 x 50 pixels does not exist"),
    "a size of 1e9": (size("1e9", "1e9"), "pixels does not exist"),
    "a size in words": (size("wide", 50), "is 'wide', no number"),
    "a size that is no number": (size("nan", 50), "is 'nan', not a coordinate"),
    "an inverted box": (box(30, 6, 5, 40), "is empty or inverted"),
    "an upside-down box": (box(5, 40, 30, 6), "is empty or inverted"),
    "a box beside the picture": (box(100, 6, 120, 40), "leaves the 60 x 50 picture"),
    "a box that is too large": (box(5, 6, 30, 400), "leaves the 60 x 50 picture"),
    "a negative box": (box(-50, 6, 30, 40), "leaves the 60 x 50 picture"),
    "a box of 1e9": (box(5, 6, "1e9", 40), "leaves the 60 x 50 picture"),
    "a box of 1e300": (box(5, 6, "1e300", 40), "not a coordinate"),
    "an infinite box": (box(5, 6, "inf", 40), "not a coordinate"),
    "a box in words": (box(5, 6, "right", 40), "is 'right', no number"),
    "a box without a side": (changed("<ymin>6</ymin>", ""), "<ymin> is None, no number"),
    "an object without a box": (changed("<bndbox>", "<box>").replace(b"</bndbox>", b"</box>"), "has no <bndbox>"),
    "an object without a name": (changed("<name>cat</name>", ""), "has no <name>"),
    "an unknown class": (changed("<name>cat</name>", "<name>unicorn</name>"), "(unicorn): unknown class"),
    "half an XML": (SOUND.encode()[: len(SOUND) // 2], "is no readable XML"),
    "an empty XML": (b"", "is no readable XML"),
    "zeros": (b"\0" * 500, "is no readable XML"),
    "bytes that are no UTF-8": (changed("cat", "c\xff").replace(b"\xc3\xbf", b"\xff"), "is no readable XML"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="klingon"?>' + SOUND.encode(), "is no readable XML"),
    "a hundred thousand levels": (b"<a>" * 100_000 + b"</a>" * 100_000, "has no <size>"),
    "an XML of 9 MiB": (SOUND.encode() + b" " * (9 << 20), "larger than 8 MiB"),
}


def encoded(width=60, height=50, kind="JPEG") -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims that size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def broken_png() -> bytes:
    data = bytearray(encoded(kind="PNG"))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


VOC_PICTURE = {
    "a truncated JPEG": (encoded()[:600], "damaged or truncated"),
    "a JPEG without its end": (encoded()[:-200], "damaged or truncated"),
    "an empty picture": (b"", "no picture in a known format"),
    "a text": (b"this is no picture", "no picture in a known format"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", "no picture in a known format"),
    "50,000 x 50,000 pixels": (claims(50_000, 50_000), "pixels"),
    "200,000 x 1,000 pixels": (claims(200_000, 1_000), "pixels"),
    "a header without pixels": (claims(60, 50), "damaged or truncated"),
    "a PNG with a wrong bit": (broken_png(), "damaged or truncated"),
    "a picture of another size": (encoded(61, 50), "is 61 x 50, its annotation says 60 x 50"),
    "a format that runs programs": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 50\n", "known format"),
    "a TIFF of garbage": (b"II*\0" + b"\xff" * 200, ""),
}


def link_out(place: str, suffix: str):
    """One file of the devkit is a link to a sound file outside."""

    def make(folder: Path) -> list[str]:
        base = devkit(folder)
        file = base / place / f"{BAD}{suffix}"
        os.rename(file, folder / f"outside{suffix}")
        file.symlink_to(folder / f"outside{suffix}")
        return voc(base)

    return make


def listed(text: bytes):
    def make(folder: Path) -> list[str]:
        base = devkit(folder)
        (base / "ImageSets" / "Main" / "test.txt").write_bytes(text)
        return voc(base)

    return make


def without(*names: str):
    def make(folder: Path) -> list[str]:
        base = devkit(folder)
        for name in names:
            path = base / name
            path.unlink() if path.is_file() else os.rename(path, folder / "away")
        return voc(base)

    return make


def only_flagged(folder: Path) -> list[str]:
    objects = [("cat", (5, 6, 30, 40), True)]
    return voc(voc_devkit.write(folder, [{"key": "1", "size": SIZE, "objects": objects}]))


def a_file_for_a_folder(folder: Path) -> list[str]:
    (folder / "VOCdevkit").write_text("")
    return voc(folder / "VOCdevkit")


VOC_FILES = {
    "a folder that is not there": (lambda folder: voc(folder / "nowhere"), "there is no folder"),
    "a file in place of a folder": (a_file_for_a_folder, "there is no folder"),
    "no annotations": (without("Annotations"), "no folder VOCdevkit/VOC2007/Annotations"),
    "no pictures": (without("JPEGImages"), "JPEGImages"),
    "no list": (without("ImageSets/Main/test.txt"), "test.txt"),
    "a lost annotation": (without(f"Annotations/{BAD}.xml"), "1 of 3 files are missing"),
    "a lost picture": (without(f"JPEGImages/{BAD}.jpg"), "1 of 3 files are missing"),
    "an empty list": (listed(b""), "is empty or names a picture twice"),
    "a picture twice": (listed(b"000001\n000002\n000001\n"), "names a picture twice"),
    "a list that is no text": (listed(b"000001\n\xff\xfe\n"), "test.txt"),
    "a key that leads out": (listed(b"../../../etc/passwd\n"), ""),
    "an absolute key": (listed(b"/etc/passwd\n"), ""),
    "nothing to ask": (only_flagged, "no pair"),
}

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
    "COCO: a hundred thousand levels": (coco(b"[" * 100_000), "is no readable JSON"),
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

SETTINGS = {
    "seed=-1": "seed must be a whole number of at least 0",
    "seed=1.5": "seed must be a whole number",
    "seed=true": "seed must be a whole number",
    "limit=0": "limit must be a whole number of at least 1",
    "limit=many": "limit must be a whole number",
    "workers=-1": "workers must be a whole number",
    "batch_pictures=0": "batch_pictures must be a whole number of at least 1",
    "shard=0/3": "shard must be i/n",
    "shard=4/3": "shard must be i/n",
    "shard=first": "shard must be i/n",
    "shard=1/2/3": "shard must be i/n",
    "on_error=ignore": "on_error must be stop or skip",
    "sync=never": "sync must be picture or second",
    "save_maps=maybe": "save_maps must be true or false",
    "device=gpu": "device must be auto, cpu, cuda or cuda:N",
    "device=cuda:99": "device=cuda:99: this machine has",
    "dataset.subset=hard": "dataset.subset must be one of all, diff",
    "protocol.hit=near": "protocol.hit must be inside or tolerance",
    "protocol.average=median": "protocol.average must be pair or class",
    "protocol.input.mode=crop": "protocol.input.mode must be",
    "protocol.input.side=0": "protocol.input.side must be at least 1",
    "+protocol.input.sides=3": "unknown protocol.input setting sides",
    "+method.build.colour=red": "colour",
    "method.build._target_=baselines.simple.Nothing": "Nothing",
    "method.build._target_=no_such_module.Method": "no_such_module",
    "dataset.build._target_=eval.datasets.none.None": "eval.datasets.none",
    "+dataset.build.colours=3": "colours",
    "+dataset.build.count=0": "0",
}
