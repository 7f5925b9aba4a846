"""A corpus of bad input: for each case how to make it under a folder, and what the message must say.

VOC_XML, VOC_PICTURE: one picture of three is broken; with on_error=skip the other two keep their rows.
SETTINGS, VOC_FILES: nothing can start. More of it in tests/bad_files.py.
"""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from eval.datasets.pictures import MAX_PIXELS
from eval.networks.checkpoint import random_weights
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


@random_weights()
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
    "an entity": (b'<!DOCTYPE a [<!ENTITY e "cat">]>' + changed("cat", "&e;"), "is refused"),
    "a document type": (b"<!DOCTYPE annotation>" + SOUND.encode(), "is refused"),
    "no size": (changed("<size><width>60</width><height>50</height><depth>3</depth></size>", ""), "has no <size>"),
    "no width": (changed("<width>60</width>", ""), "has no <size> with <width>"),
    "a size of zero": (size(0, 50), "0 x 50 pixels does not exist"),
    "a negative size": (size(-60, 50), "-60 x 50 pixels does not exist"),
    "a size of 1e9": (size("1e9", "1e9"), "pixels and are refused"),
    "a size in words": (size("wide", 50), "is 'wide', no number"),
    "a size that is no number": (size("nan", 50), "is 'nan', no number"),
    "an inverted box": (box(30, 6, 5, 40), "is empty or inverted"),
    "an upside-down box": (box(5, 40, 30, 6), "is empty or inverted"),
    "a box beside the picture": (box(100, 6, 120, 40), "leaves the 60 x 50 picture"),
    "a box that is too large": (box(5, 6, 30, 400), "leaves the 60 x 50 picture"),
    "a negative box": (box(-50, 6, 30, 40), "leaves the 60 x 50 picture"),
    "a box of 1e9": (box(5, 6, "1e9", 40), "leaves the 60 x 50 picture"),
    "a box of 1e300": (box(5, 6, "1e300", 40), "not a coordinate"),
    "an infinite box": (box(5, 6, "inf", 40), "is 'inf', no number"),
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
    "an XML of 9 MiB": (SOUND.encode() + b" " * (9 << 20), "larger than 8 MiB"),
}


def encoded(width=60, height=50, kind="JPEG") -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims that size."""
    parts = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(30)))
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def broken_png() -> bytes:
    data = bytearray(encoded(kind="PNG"))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


VOC_PICTURE = {
    "a truncated JPEG": (encoded()[:2000], "damaged or truncated"),
    "a JPEG without its end": (encoded()[:-200], "damaged or truncated"),
    "an empty picture": (b"", "no picture in a known format"),
    "a text": (b"this is no picture", "no picture in a known format"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", "no picture in a known format"),
    "a row more than the limit": (claims(10_000, MAX_PIXELS // 10_000 + 1), "pixels are refused"),
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
    "a key that leads out": (listed(b"../../../elsewhere\n"), ""),
    "an absolute key": (listed(b"/elsewhere/key\n"), ""),
    "nothing to ask": (only_flagged, "no pair"),
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
    "sync=never": "sync must be auto or picture or second",
    "save_maps=maybe": "save_maps must be true or false",
    "device=gpu": "device must be auto, cpu, cuda or cuda:N",
    "device=mps": "device must be auto, cpu, cuda or cuda:N, not 'mps'",
    "device=xpu": "device must be auto, cpu, cuda or cuda:N, not 'xpu'",
    "device=meta": "device must be auto, cpu, cuda or cuda:N, not 'meta'",
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
    "dataset.build.count=0": "0",
}
