"""What annotation files say: what can be understood is read, anything else is refused by file and object."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.datasets import boxes
from eval.datasets.folder import folder
from eval.datasets.imagenet import ImageNet
from eval.game.sample import pairs
from eval.networks.class_map import imagenet_classes
from eval.running.plan import plan

KIT = Path(__file__).parents[2] / "shared" / "data" / "real" / "coco128"
SIZE = (60, 40)
SYNSET = next(iter(imagenet_classes()))


def entry(number, box, category=1, **more):
    return {"id": number, "image_id": 1, "category_id": category, "bbox": list(box)} | more


def coco(root, annotations, categories=None, images=None, **options):
    """A data set of one picture (or `images`) in COCO's format, regions from boxes unless said otherwise."""
    images = images or [{"id": 1, "file_name": "p1.png", "width": SIZE[0], "height": SIZE[1]}]
    categories = categories or [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    for image in images:
        Image.new("RGB", SIZE).save(root / str(image["file_name"]))
    content = {"images": images, "categories": categories, "annotations": annotations}
    (root / "annotations.json").write_text(json.dumps(content))
    return folder(root, **{"region": "boxes"} | options)


def voc_xml(box=(20, 12, 40, 26), difficult="<difficult>0</difficult>", size=SIZE, name="cat", more=""):
    corners = "".join(f"<{tag}>{v}</{tag}>" for tag, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size><object><name>{name}</name>"
        f"{difficult}<bndbox>{corners}</bndbox>{more}</object></annotation>"
    )


def voc(root, **options):
    """A data set of one picture in VOC's format."""
    Image.new("RGB", SIZE).save(root / "p1.png")
    (root / "p1.xml").write_text(voc_xml(**options))
    return folder(root)


def imagenet(root, box, csv=True):
    """ImageNet with one picture, its boxes in the CSV file or in an XML file."""
    (root / "val").mkdir()
    Image.new("RGB", SIZE).save(root / "val" / "v1.JPEG")
    if csv:
        (root / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\nv1,{SYNSET} {' '.join(map(str, box))}\n")
    else:
        (root / "bbox").mkdir()
        (root / "bbox" / "v1.xml").write_text(voc_xml(box, name=SYNSET))
    return ImageNet(root)


MARKS = {
    False: [0, 0.0, False, None, "0", "0.0", "false", "FALSE", " False ", "0e3"],
    True: [1, True, "1", "1.0", "TRUE"],
}
UNKNOWN = ["no", "yes", "maybe", "Unspecified", "", "2", "-1", "nan", 2, 0.5, math.nan, [], [0], {}, "None"]


@pytest.mark.parametrize("hard", MARKS)
def test_marks_that_are_understood(tmp_path, hard):
    for value in MARKS[hard]:
        data = coco(tmp_path, [entry(1, (20, 12, 20, 14), iscrowd=value)])
        assert data[0].hard.tolist() == [hard], value
    (tmp_path / "annotations.json").unlink()
    for value in [v for v in MARKS[hard] if isinstance(v, str)]:
        assert voc(tmp_path, difficult=f"<difficult>{value}</difficult>")[0].hard.tolist() == [hard], value
    for absent in ("", "<difficult/>", "<difficult></difficult>"):
        assert voc(tmp_path, difficult=absent)[0].hard.tolist() == [False]


@pytest.mark.parametrize("value", UNKNOWN, ids=repr)
def test_marks_that_are_not_understood(tmp_path, value):
    with pytest.raises(ValueError, match=r"p1\.png, annotation 7: iscrowd is .*neither 0 nor 1"):
        coco(tmp_path, [entry(7, (20, 12, 20, 14), iscrowd=value)])[0]
    if isinstance(value, str) and value:
        (tmp_path / "annotations.json").unlink()
        with pytest.raises(ValueError, match=r"p1\.xml, object 1 \(cat\): <difficult> is .*neither 0 nor 1"):
            voc(tmp_path, difficult=f"<difficult>{value}</difficult>")[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"difficult": "<difficult>0</difficult><difficult>1</difficult>"}, r"object 1 has <difficult> twice"),
        ({"more": "<name>dog</name>"}, r"object 1 has <name> twice"),
        ({"more": "<bndbox/>"}, r"object 1 has <bndbox> twice"),
    ],
)
def test_two_answers_to_one_question(tmp_path, more, said):
    with pytest.raises(ValueError, match=rf"p1\.xml, {said}"):
        voc(tmp_path, **more)[0]


def test_parts_of_an_object_have_boxes_of_their_own(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>" * 2
    assert voc(tmp_path, more=part)[0].boxes.tolist() == [[19, 11, 40, 26]]


@given(st.floats(-1e9, 1e9) | st.integers(-(2**30), 2**30))
def test_numbers_mean_the_same_as_text(value):
    assert boxes.number(value, "x") == boxes.number(f"  {value!r}\n", "x") == float(value)


@pytest.mark.parametrize(
    "value",
    ["1_0", "nan", "inf", "-infinity", "", " ", "0x10", "1,5", "１２", "1 0", "1e", "e3", ".", True, False, None, [1],
     {}, 10**400, -(10**400), 2**31, 1e300, math.nan, math.inf, "9" * 400, "1e400"],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_coordinate_is_refused_everywhere(tmp_path, value):
    with pytest.raises(ValueError, match=r"^x is .{1,90}(no number|not a coordinate)$"):
        boxes.number(value, "x")
    named = r"p1\.png, annotation 5.*(no number|not a coordinate)"
    with pytest.raises(ValueError, match=named):
        coco(tmp_path, [entry(5, (20, 12, value, 14))])[0]
    outline = [entry(5, (20, 12, 20, 14), segmentation=[[20, 12, value, 12, 40, 26]])]
    with pytest.raises(ValueError, match=named):
        list(pairs(coco(tmp_path, outline, region="masks")[0]))
    with pytest.raises(ValueError, match=r"p1\.png: the width is "):
        coco(tmp_path, [], images=[{"id": 1, "file_name": "p1.png", "width": value, "height": 40}])[0]
    if isinstance(value, str):
        (tmp_path / "annotations.json").unlink()
        with pytest.raises(ValueError, match=r"p1\.xml, object 1 \(cat\): <xmax> is "):
            voc(tmp_path, box=(20, 12, value, 26))[0]


def test_a_number_as_text_is_read(tmp_path):
    data = coco(tmp_path, [entry(1, ("20", " 12 ", "2e1", 14.0))])
    assert data[0].boxes.tolist() == [[20, 12, 40, 26]]
    (tmp_path / "annotations.json").unlink()
    assert voc(tmp_path, box=(" 20 ", "12.0", "4e1", 26))[0].boxes.tolist() == [[19, 11, 40, 26]]


def test_one_damaged_annotation_leaves_the_others(tmp_path):
    for name, break_it in (
        ("xml", lambda root: (root / "p2.xml").write_text("<annotation")),
        ("size", lambda root: (root / "p2.xml").write_text(voc_xml(size=(0, 0)))),
        ("suffix", lambda root: (root / "p2.XML").write_text("")),
    ):
        root = tmp_path / name
        root.mkdir()
        for number in (1, 2, 3):
            Image.new("RGB", SIZE).save(root / f"p{number}.png")
            if number != 2:
                (root / f"p{number}.xml").write_text(voc_xml())
        break_it(root)
        data = folder(root)
        with pytest.raises(ValueError, match=r"p2\.(xml|XML)"):
            plan(data)
        actual = plan(data, "skip")
        assert [sample.key for _, sample, _ in actual.entries] == ["p1", "p3"]
        ((_, message),) = actual.failed
        assert f"{root}/p2." in message


def test_one_bad_line_or_annotation_leaves_the_others(tmp_path):
    for name in ("v1", "v2", "v3", "v4"):
        Image.new("RGB", SIZE).save(tmp_path / f"{name}.JPEG")
    good = f"{SYNSET} 1 2 30 20"
    lines = f"v1,{good}\nv2,{good},more\nv3,{good}\nv3,{good}\nv4,{good}\n"
    (tmp_path / "LOC_val_solution.csv").write_text(f"\ufeffImageId,PredictionString\n{lines}", encoding="utf-8")
    actual = plan(ImageNet(tmp_path), "skip")
    assert [sample.key for _, sample, _ in actual.entries] == ["v1", "v4"]
    assert [message.partition(", ")[2][:6] for _, message in actual.failed] == ["line 3", "line 5"]

    images = [{"id": n, "file_name": f"p{n}.png", "width": SIZE[0], "height": SIZE[1]} for n in (1, 2)]
    for wrong in (9, None, "cat", [1]):
        entries = [entry(1, (20, 12, 20, 14)), entry(2, (20, 12, 20, 14), image_id=2, category_id=wrong)]
        if wrong == "cat":
            with pytest.raises(ValueError, match="mixed"):
                coco(tmp_path, entries, images=images)
            continue
        actual = plan(coco(tmp_path, entries, images=images), "skip")
        assert [sample.key for _, sample, _ in actual.entries] == ["p1"]
        assert "annotation 2: unknown category_id" in actual.failed[0][1]
