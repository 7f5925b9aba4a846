"""Pictures that are not what their annotation or their format says: sizes, orientations, ranges of values."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from eval.datasets.folder import folder
from eval.datasets.pictures import Picture
from eval.game.protocol import Input
from eval.records.rows import Rows, read_rows
from eval.running.decoding import unopened
from eval.running.evaluation import Evaluation
from eval.running.plan import plan
from tests.test_trust_files import SIZE, coco, entry, voc, voc_xml
from tests.voc_devkit import random_annotations, write


def evaluate(data, folder_, on_error="skip"):
    """A blind method's run: (keys with rows, messages of failures)."""
    centre = lambda sample, targets: torch.tensor([[s / 2 for s in sample.size]] * len(targets))  # noqa: E731
    with Rows(folder_) as rows:
        failed = Evaluation(centre, None, Input("squash", 8, True), rows, list(data.classes), 0, on_error).run(
            plan(data).entries
        )
    return [row["key"] for row in read_rows(folder_)], [message for _, message in failed]


@pytest.mark.parametrize("make", ["coco", "voc"])
def test_a_method_that_sees_no_picture_is_refused_swapped_sizes(tmp_path, make):
    """The boxes lie on a picture of 40 x 60 that does not exist."""
    if make == "coco":
        data = coco(tmp_path, [entry(1, (5, 30, 20, 20))], images=[
            {"id": 1, "file_name": "p1.png", "width": SIZE[1], "height": SIZE[0]}])  # fmt: skip
    else:
        data = voc(tmp_path, size=SIZE[::-1], box=(5, 30, 20, 50))
    keys, failed = evaluate(data, tmp_path / "rows")
    assert keys == []
    (message,) = failed
    assert "picture p1 (cat): the picture is 60 x 40, its annotation says 40 x 60" in message
    with pytest.raises(RuntimeError, match="its annotation says 40 x 60"):
        evaluate(data, tmp_path / "again", "stop")


def test_a_method_that_sees_no_picture_is_refused_what_is_no_picture(tmp_path):
    for number in range(1, 5):
        Image.new("RGB", SIZE).save(tmp_path / f"p{number}.png")
        (tmp_path / f"p{number}.xml").write_text(voc_xml())
    (tmp_path / "p2.png").write_bytes(b"<html>")
    data = folder(tmp_path)
    (tmp_path / "p3.png").unlink()
    keys, failed = evaluate(data, tmp_path / "rows")
    assert keys == ["p1", "p4"]
    assert "no picture in a known format" in failed[0]
    assert "p3.png does not exist" in failed[1]


def test_headers_are_enough(tmp_path):
    """The pixels are cut off: a method that sees none of them needs none."""
    base = write(tmp_path, random_annotations(1)) / "VOC2007"
    path = base / "JPEGImages" / "000001.jpg"
    path.write_bytes(path.read_bytes()[:700])
    annotation = (base / "Annotations" / "000001.xml").rename(base / "JPEGImages" / "000001.xml")
    sample = folder(annotation.parent)[0]
    ((same, content),) = unopened([sample])
    assert same is sample
    assert content.pixels is None


def scene():
    """60 x 40 with one bright square, x 8..24, y 4..20."""
    grey = np.full((40, 60), 30, np.uint8)
    grey[4:20, 8:24] = 230
    return Image.fromarray(grey)


def tagged(path, tag, form):
    exif = Image.Exif()
    exif[0x0112] = tag
    scene().convert("RGB").save(path, form, exif=exif, **({"quality": 95} if form == "JPEG" else {}))


def brightest(image):
    return np.argwhere(np.asarray(image.convert("L"), int) > 128).mean(0).tolist()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_an_orientation_counts_as_the_setting_says(tmp_path, tag, form):
    """In every format alike, though Pillow turns TIFF files by itself; the header says the size without the pixels."""
    tagged(tmp_path / "p", tag, form)
    stored, displayed = scene(), ImageOps.exif_transpose(with_tag(tag))
    for orientation, expected in (("stored", stored), ("displayed", displayed)):
        for size in {None, expected.size}:
            actual = Picture(tmp_path, "p", size, orientation)
            assert actual.header_size() == actual().size == expected.size
            assert np.allclose(brightest(actual()), brightest(expected), atol=0.5)
    if tag >= 5:
        actual = Picture(tmp_path, "p", displayed.size)  # the annotated size fits nothing else
        assert actual.header_size() == actual().size == displayed.size
        assert np.allclose(brightest(actual()), brightest(displayed), atol=0.5)


def with_tag(tag):
    image = scene()
    image.getexif()[0x0112] = tag
    return image


@pytest.mark.parametrize("make", ["coco", "voc"])
def test_pictures_with_an_orientation_are_counted(tmp_path, make):
    tags = {"p1": 1, "p2": 3, "p3": 6, "p4": 2, "p5": None}
    images = [{"id": n, "file_name": f"{key}.jpg", "width": 60, "height": 40} for n, key in enumerate(tags)]
    for key, tag in tags.items():
        if tag:
            tagged(tmp_path / f"{key}.jpg", tag, "JPEG")
        else:
            scene().save(tmp_path / f"{key}.jpg")
        if make == "voc":
            (tmp_path / f"{key}.xml").write_text(voc_xml())
    if make == "coco":
        content = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": []}
        (tmp_path / "a.json").write_text(json.dumps(content))
    (remark,) = folder(tmp_path).remarks
    assert remark.startswith("3 of 5 pictures have an EXIF orientation (p2.jpg, p3.jpg, p4.jpg): ")
    assert "dataset.orientation=displayed" in remark
    assert list(folder(tmp_path, orientation="displayed").remarks) == []
    assert folder(tmp_path, orientation="displayed")[2].open().size == (40, 60)
    with pytest.raises(ValueError, match="must be stored or displayed, not 'turned'"):
        folder(tmp_path, orientation="turned")


def test_a_tag_that_cannot_be_read_is_none(tmp_path):
    scene().save(tmp_path / "p.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert Picture(tmp_path, "p.jpg", (40, 60))().size == (60, 40)


GREY = np.linspace(0, 1, 24 * 32).reshape(24, 32)
REFUSED = {
    "floats of 0 to 1": (GREY.astype(np.float32), "floating-point numbers"),
    "floats of 0 to 255": ((GREY * 255).astype(np.float32), "floating-point numbers"),
    "integers of 32 bits": ((GREY * 240).astype(np.int32), "32-bit whole numbers"),
    "large integers of 32 bits": ((GREY * 2**30).astype(np.int32), "32-bit whole numbers"),
    "16 bits of 8-bit values": ((GREY * 250).astype(np.uint16), "no value above 255 of 65535"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_values_of_an_unknown_range_are_refused_not_black(tmp_path, what):
    values, said = REFUSED[what]
    Image.fromarray(values).save(tmp_path / "p.tif")
    with pytest.raises(ValueError, match=rf"p\.tif .*{said}.*save it with 8") as caught:
        Picture(tmp_path, "p.tif")()
    assert "damaged" not in str(caught.value)


def test_sixteen_bits_are_understood_in_every_format(tmp_path):
    values = (GREY * 65535).astype(np.uint16)
    expected = values // 256
    Image.fromarray(values).save(tmp_path / "p.png")
    Image.fromarray(values).save(tmp_path / "p.tif")
    (tmp_path / "p.ppm").write_bytes(b"P5 32 24 65535\n" + values.astype(">u2").tobytes())
    for name in ("p.png", "p.tif", "p.ppm"):
        assert np.abs(np.asarray(Picture(tmp_path, name)(), int)[..., 0] - expected).max() <= 1, name
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(tmp_path / "black.png")
    assert Picture(tmp_path, "black.png")().getextrema() == ((0, 0),) * 3
