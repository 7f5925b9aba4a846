"""VOC from small devkits in the genuine layout: what it says, what is missing, what is wrong and named."""

import pickle
import shutil

import pytest
from PIL import Image

from eval.datasets import voc
from eval.datasets.voc import VOC
from eval.files import download
from eval.game.sample import pairs
from tests.voc_devkit import random_annotations, write, xml

CAT = ("cat", (1, 1, 10, 20), False)
DOG = ("dog", (5, 6, 40, 30), True)
PICTURES = [
    {"key": "000001", "size": (40, 30), "objects": [CAT, DOG]},
    {"key": "000007", "size": (8, 9), "objects": []},
]


@pytest.fixture
def devkit(tmp_path):
    return write(tmp_path / "data set ü", PICTURES)


def test_voc(devkit):
    for root in (devkit, devkit.parent, devkit / "VOC2007", str(devkit)):
        data = pickle.loads(pickle.dumps(VOC(root)))
        assert len(data) == 2
        assert data.keys == ("000001", "000007")
        first, second = data
        assert (first.key, first.size) == ("000001", (40, 30))
        # 1-based inclusive in the file, 0-based and end exclusive here.
        assert first.boxes.tolist() == [[0, 0, 10, 20], [4, 5, 40, 30]]
        assert [data.classes[i] for i in first.labels] == ["cat", "dog"]
        assert first.hard.tolist() == [False, True]
        assert first.image.size == (40, 30)
        assert [data.classes[p.label] for p in pairs(first)] == ["cat"]
        assert second.boxes.shape == (0, 4)
        assert list(pairs(second)) == []


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda d: shutil.rmtree(d), "there is no folder"),
        (lambda d: shutil.rmtree(d / "VOC2007" / "Annotations"), "no folder VOCdevkit/VOC2007/Annotations"),
        (lambda d: (d / "VOC2007/ImageSets/Main/test.txt").unlink(), r"no file .*test\.txt"),
        (lambda d: (d / "VOC2007/JPEGImages/000007.jpg").unlink(), r"1 of 2 files .*JPEGImages.*000007\.jpg"),
        (lambda d: (d / "VOC2007/Annotations/000001.xml").unlink(), r"1 of 2 files .*Annotations.*000001\.xml"),
    ],
)
def test_voc_says_at_once_what_is_missing_and_how_to_get_it(devkit, break_it, said):
    break_it(devkit)
    with pytest.raises(FileNotFoundError, match=said) as error:
        VOC(devkit)
    assert "dataset.root=DIR" in str(error.value)
    assert "dataset.download=true" in str(error.value)


def test_voc_without_root(monkeypatch, tmp_path):
    monkeypatch.setattr(voc, "cache_folder", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"not configured; set dataset\.root=DIR"):
        VOC(None)
    # What a download once left is found without settings.
    write(tmp_path / "voc2007", PICTURES)
    assert len(VOC(None)) == 2


def test_voc_is_not_downloaded_where_it_is(devkit, monkeypatch):
    monkeypatch.setattr(download, "open_url", lambda *_: pytest.fail("went to the web"))
    assert len(VOC(devkit.parent, download=True)) == 2
    assert not list(devkit.parent.glob("*.tar"))


def test_voc_is_downloaded_where_a_file_is_missing(devkit, monkeypatch):
    fetched = []
    monkeypatch.setattr(download, "download", lambda url, target, *_: fetched.append(url))
    monkeypatch.setattr(download, "extract", lambda _, root: write(root / "again", PICTURES))
    (devkit / "VOC2007/JPEGImages/000007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000007\.jpg"):
        VOC(devkit.parent, download=True)
    assert fetched == [voc.TEST_ARCHIVE.url]
    assert voc.TEST_ARCHIVE.url.startswith("https://")
    assert len(voc.TEST_ARCHIVE.sha256) == 64


@pytest.mark.parametrize("listing", ["", "000001\n000001\n", b"\xff\xfe0\x001"], ids=["empty", "twice", "utf-16"])
def test_voc_list_is_checked(devkit, listing):
    (devkit / "VOC2007/ImageSets/Main/test.txt").write_bytes(
        listing if isinstance(listing, bytes) else listing.encode()
    )
    with pytest.raises(ValueError, match=r"test\.txt is"):
        VOC(devkit)


def test_voc_list_cannot_name_files_elsewhere(devkit):
    (devkit / "VOC2007/ImageSets/Main/test.txt").write_text("../../../secret\n")
    with pytest.raises(ValueError, match="does not stay inside"):
        VOC(devkit)


GOOD = xml(PICTURES[0])
BAD_XML = {
    "an entity": ('<!DOCTYPE a [<!ENTITY b "cat">]>' + GOOD.replace("cat", "&b;"), "declares entities or a document"),
    "a document type": ("<!DOCTYPE annotation>" + GOOD, "declares entities or a document type"),
    "an entity in UTF-16": (
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "cat">]>' + GOOD).encode("utf-16"),
        "declares entities or a document type",
    ),
    "a document type in UTF-16 without a mark": (
        ("<!DOCTYPE annotation>" + GOOD).encode("utf-16-le"),
        "declares entities or a document type",
    ),
    "empty": ("", "no readable XML"),
    "cut": (GOOD[: len(GOOD) // 2], "no readable XML"),
    "json": ("{}", "no readable XML"),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?>' + GOOD, "no readable XML"),
    "bytes": (b"\xff\xfe\x00\xd8" + GOOD.encode(), "no readable XML"),
    "large": (GOOD + " " * (voc.MAX_XML + 1), "larger than 8 MiB"),
    "no size": (GOOD.replace("size>", "seize>"), "has no <size>"),
    "no height": (GOOD.replace("height>", "h>"), "has no <size>"),
    "size in words": (GOOD.replace("<width>40", "<width>forty"), "width is 'forty'"),
    "size of nothing": (GOOD.replace("<width>40", "<width>0"), "0 x 30 pixels does not exist"),
    "negative size": (GOOD.replace("<height>30", "<height>-30"), "does not exist"),
    "size beyond memory": (GOOD.replace("<width>40", "<width>999999999"), "pixels and are refused"),
    "inverted box": (GOOD.replace("<xmax>10", "<xmax>-10"), r"object 1 .cat.: the box .* is empty or inverted"),
    "empty box": (GOOD.replace("<xmax>10", "<xmax>0"), "is empty or inverted"),
    "outside": (GOOD.replace("<xmax>10", "<xmax>90"), "leaves the 40 x 30 picture"),
    "box of 1e9": (GOOD.replace("<xmax>10", "<xmax>1e9"), "leaves the 40 x 30 picture"),
    "box of 1e99": (GOOD.replace("<xmax>10", "<xmax>1e99"), "<xmax> is '1e99', not a coordinate"),
    "box of nan": (GOOD.replace("<xmin>1<", "<xmin>nan<"), "<xmin> is 'nan', no number"),
    "box of inf": (GOOD.replace("<ymax>20", "<ymax>inf"), "<ymax> is 'inf', no number"),
    "box in words": (GOOD.replace("<ymax>20", "<ymax>low"), "<ymax> is 'low', no number"),
    "no corner": (GOOD.replace("<ymax>20</ymax>", ""), "<ymax> is None, no number"),
    "no box": (GOOD.replace("bndbox>", "box>"), "object 1 .cat. has no <bndbox>"),
    "no name": (GOOD.replace("<name>cat</name>", ""), "object 1 has no <name>"),
    "unknown class": (GOOD.replace("cat", "unicorn"), "object 1 .unicorn.: unknown class; the data set has aeroplane"),
}


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_annotations_are_named(devkit, name):
    content, said = BAD_XML[name]
    path = devkit / "VOC2007/Annotations/000001.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    data = VOC(devkit)
    with pytest.raises(ValueError, match=rf"000001\.xml.*{said}"):
        data[0]
    assert data[1].key == "000007"


def test_a_box_off_by_one_is_clipped(devkit):
    """Tools that count to the width miss VOC's convention by one; one that begins at 0 needs dataset.first."""
    path = devkit / "VOC2007/Annotations/000001.xml"
    path.write_text(GOOD.replace("<xmin>1<", "<xmin>0<").replace("<xmax>40<", "<xmax>41<"))
    assert VOC(devkit, first=1)[0].boxes.tolist() == [[0, 0, 10, 20], [4, 5, 40, 30]]
    with pytest.raises(ValueError, match="<xmin> is 0"):
        VOC(devkit)[0]


def test_a_picture_of_another_size_is_an_error(devkit):
    Image.new("RGB", (39, 30)).save(devkit / "VOC2007/JPEGImages/000001.jpg")
    sample = VOC(devkit)[0]
    with pytest.raises(ValueError, match=r"000001.*39 x 30.*40 x 30"):
        _ = sample.image


def test_random_devkits_round_trip(tmp_path):
    annotations = random_annotations(40, seed=3)
    for sample, said in zip(VOC(write(tmp_path, annotations)), annotations, strict=True):
        assert [(voc.CLASSES[i], (x0 + 1, y0 + 1, x1, y1), h) for i, (x0, y0, x1, y1), h in zip(
            sample.labels, sample.boxes.tolist(), sample.hard.tolist(), strict=True)] == said["objects"]  # fmt: skip
