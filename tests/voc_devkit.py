"""Writes small VOC devkits in the genuine layout: real XML and JPEG files of seeded or given annotations."""

import os
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from eval.datasets.voc import CLASSES


def random_annotations(count: int, seed: int = 0) -> list[dict]:
    """Pictures with one to five objects; boxes 1-based inclusive as VOC writes them."""
    rng = np.random.default_rng(seed)
    entries = []
    for number in range(1, count + 1):
        width, height = (int(v) for v in rng.integers(40, 91, 2))
        objects = []
        for _ in range(rng.integers(1, 6)):
            x0, y0 = int(rng.integers(1, width)), int(rng.integers(1, height))
            x1, y1 = int(rng.integers(x0, width + 1)), int(rng.integers(y0, height + 1))
            objects.append((CLASSES[rng.integers(4)], (x0, y0, x1, y1), bool(rng.random() < 0.2)))
        entries.append({"key": f"{number:06d}", "size": (width, height), "objects": objects})
    return entries


def xml(annotation: dict) -> str:
    objects = "".join(
        f"<object><name>{escape(name)}</name><difficult>{int(hard)}</difficult><bndbox><xmin>{b[0]}</xmin>"
        f"<ymin>{b[1]}</ymin><xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for name, b, hard in annotation["objects"]
    )
    width, height = annotation["size"]
    return (
        f"<annotation><filename>{annotation['key']}.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


def write(root: Path, annotations: list[dict], grey: bool = False) -> Path:
    """VOCdevkit/VOC2007 under root with noise for pictures; returns the VOCdevkit folder. grey: flat pictures, and
    those of one size are one file of many names, which takes seconds where thousands take a minute."""
    base = root / "VOCdevkit" / "VOC2007"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (base / name).mkdir(parents=True)
    written: dict[tuple[int, int], Path] = {}
    for annotation in annotations:
        width, height = annotation["size"]
        path = base / "JPEGImages" / f"{annotation['key']}.jpg"
        if grey and (width, height) in written:
            os.link(written[width, height], path)
        else:
            noise = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), np.uint8)
            Image.fromarray(np.full_like(noise, 127) if grey else noise).save(path)
            written[width, height] = path
        (base / "Annotations" / f"{annotation['key']}.xml").write_text(xml(annotation))
    (base / "ImageSets" / "Main" / "test.txt").write_text("".join(f"{a['key']}\n" for a in annotations))
    return root / "VOCdevkit"
