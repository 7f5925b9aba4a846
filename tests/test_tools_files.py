"""Annotation files as tools write them: read as they are meant, refused by file and object, or counted in a line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as cocomask

import run
from eval.datasets.folder import folder
from eval.datasets.voc import VOC
from eval.game.sample import pairs
from eval.running import config
from eval.running.config import as_text, load, load_jobs
from scripts import check_data
from tests import voc_devkit
from tests.test_trust_files import SIZE, coco, entry, voc, voc_xml

BOX, OUTLINE = (20, 10, 20, 20), [[20, 10, 40, 10, 40, 30, 20, 30]]
RUNS = {"size": [40, 60], "counts": [810, *[20, 20] * 19, 20, 810]}
THREE = [{"id": n, "file_name": f"p{n}.png", "width": SIZE[0], "height": SIZE[1]} for n in (1, 2, 3)]


def packed():
    return {"size": [40, 60], "counts": cocomask.frPyObjects(RUNS, 40, 60)["counts"].decode()}


def labels(data):
    return [[pair.label for pair in pairs(sample)] for sample in data]


@pytest.mark.parametrize("outline", [RUNS, packed(), OUTLINE], ids=["runs", "packed", "polygon"])
def test_classes_that_are_there_as_crowds_alone_are_counted(tmp_path, capsys, outline):
    entries = [
        entry(1, BOX, image_id=1, segmentation=OUTLINE, iscrowd=0),
        entry(2, BOX, image_id=2, segmentation=outline, iscrowd=1),
        entry(3, BOX, image_id=3, segmentation=outline, iscrowd="1"),
        entry(4, BOX, image_id=3, category=2, segmentation=OUTLINE, iscrowd=0),
    ]
    data = coco(tmp_path, entries, images=THREE, region="masks")
    assert labels(data) == [[0], [], [1]]
    (line,) = data.remarks
    assert "2 of 3 pictures (p2.png, p3.png) have 1 class (cat) only as crowds" in line
    assert "2 pairs are left out" in line
    assert "dataset.crowds=objects" in line
    data = folder(tmp_path, region="masks", crowds="objects")
    assert labels(data) == [[0], [0], [0, 1]]
    assert data.remarks == []
    settings = ["dataset=folder", f"dataset.root={tmp_path}", "workers=0"]
    assert check_data.main(settings) == 0
    assert "only as crowds" in capsys.readouterr().out
    with pytest.raises(ValueError, match="must be flagged or objects, not 'yes'"):
        folder(tmp_path, crowds="yes")


@pytest.mark.parametrize("value", [1, True, "1", "true", 1.0])
@pytest.mark.parametrize(
    "where",
    [
        lambda v: {"difficult": v},
        lambda v: {"Difficult": v},
        lambda v: {"attributes": {"difficult": v, "pose": "Left"}},
        lambda v: {"attributes": [{"name": "difficult", "value": v}]},
        lambda v: {"ignore": v},
    ],
    ids=["field", "capital", "attribute", "list", "ignore"],
)
def test_difficult_objects_of_a_coco_file_are_flagged(tmp_path, where, value):
    data = coco(tmp_path, [entry(1, (2, 2, 20, 20), 1), entry(2, (30, 5, 19, 15), 2, iscrowd=0, **where(value))])
    assert data[0].hard.tolist() == [False, True]
    assert [(pair.label, pair.difficult) for pair in pairs(data[0])] == [(0, False)]
    data = coco(tmp_path, [entry(2, (30, 5, 19, 15), 2, **where(0))], crowds="objects")
    assert data[0].hard.tolist() == [False]


def test_a_mark_of_difficulty_that_is_not_understood_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"annotation 2: difficult is 'perhaps', neither 0 nor 1"):
        coco(tmp_path, [entry(2, BOX, attributes={"difficult": "perhaps"})])[0]
    with pytest.raises(ValueError, match=r"annotation 2: difficult is 0 in one place and 1 in another"):
        coco(tmp_path, [entry(2, BOX, difficult=1, attributes={"difficult": False})])[0]


def zero_based(root, **options):
    """Two pictures in VOC's format by a tool that counts from 0; a box of one begins at 0."""
    for name, box in (("a", (4, 6, 14, 18)), ("b", (0, 3, 60, 40))):
        Image.new("RGB", SIZE).save(root / f"{name}.png")
        (root / f"{name}.xml").write_text(voc_xml(box))
    return folder(root, **options)


def test_a_box_at_zero_says_that_a_voc_file_counts_from_zero(tmp_path):
    with pytest.raises(
        ValueError, match=r"b\.xml, object 1 \(cat\): <xmin> is 0 \(and in 1 of 2 files\).*dataset\.first"
    ):
        zero_based(tmp_path)
    assert [s.boxes.tolist() for s in folder(tmp_path, first=0)] == [[[4, 6, 14, 18]], [[0, 3, 60, 40]]]
    assert [s.boxes.tolist() for s in folder(tmp_path, first=1)] == [[[3, 5, 14, 18]], [[0, 2, 60, 40]]]
    (tmp_path / "a.xml").write_text(voc_xml((10.5, 5.25, 30.5, 20.75)))
    assert folder(tmp_path, first=0)[0].boxes.tolist() == [[10, 5, 31, 21]], "every pixel that it touches, as in COCO"
    with pytest.raises(ValueError, match=r"dataset\.first must be 0 or 1, not 2"):
        folder(tmp_path, first=2)


def test_a_devkit_has_the_setting_too(tmp_path):
    picture = {"key": "1", "size": (40, 30), "objects": [("cat", (5, 0, 9, 12), False)]}
    root = voc_devkit.write(tmp_path, [picture])
    with pytest.raises(ValueError, match=r"1\.xml, object 1 \(cat\): <ymin> is 0; VOC counts pixels from 1"):
        VOC(root)[0]
    assert VOC(root, first=0)[0].boxes.tolist() == [[5, 0, 9, 12]]


@pytest.mark.parametrize(("box", "name"), [((20, 12, 19, 26), "x 20..19"), ((20, 12, 40, 11), "y 12..11")])
def test_an_object_one_pixel_wide_with_its_end_before_its_beginning(tmp_path, box, name):
    with pytest.raises(
        ValueError, match=rf"p1\.xml, object 1 \(cat\): .*{name}.*xmax = xmin \+ width - 1.*one pixel wide"
    ):
        voc(tmp_path, box=box)[0]
    assert voc(tmp_path, box=(20, 12, 20, 26))[0].boxes.tolist() == [[19, 11, 20, 26]]


INDICES = [[[0, 0, 0, 39, 49, 39, 49, 0]], [[5, 5, 5, 24, 24, 24, 24, 5]]]  # the last row and column are missing


def test_a_region_that_contradicts_its_own_area_is_counted(tmp_path):
    boxes_ = [(0, 0, 50, 40), (5, 5, 20, 20)]
    entries = [
        entry(n, box, segmentation=part, area=box[2] * box[3])
        for n, (box, part) in enumerate(zip(boxes_, INDICES, strict=True))
    ]
    exact = entry(7, BOX, segmentation=RUNS, area=400)
    (line,) = coco(tmp_path, [*entries, exact, exact | {"id": 8, "area": 401}], region="masks").remarks
    assert line.startswith("2 of 4 regions have another area")
    assert "p1.png, annotation 0: 1,911 pixels for 2,000" in line
    assert coco(tmp_path, entries, region="boxes").remarks == [], "boxes do not read the outlines"
    (line,) = coco(tmp_path, [exact | {"segmentation": packed(), "area": 300}], region="masks").remarks
    assert "400 pixels for 300" in line


@pytest.mark.parametrize(
    "turned",
    [
        {"attributes": {"rotation": 45.0}},
        {"attributes": {"rotation": "-30"}},
        {"rotation": 90},
        {"angle": 0.3},
        {"attributes": [{"name": "angle", "value": 10}]},
        {"rotated": True},
        {"rbox": [1, 2, 3, 4, 5]},
    ],
    ids=repr,
)
def test_rotated_boxes_are_refused_by_name(tmp_path, turned):
    with pytest.raises(ValueError, match=r"p1\.png, annotation 6 has \w+ .*rotated boxes are not read"):
        coco(tmp_path, [entry(6, BOX, **turned)])[0]
    outlined = entry(6, BOX, segmentation=OUTLINE, **turned)
    assert coco(tmp_path, [outlined], region="masks")[0].region(0).area == 400, "the outline says where it is"
    with pytest.raises(ValueError, match="rotated boxes"):
        coco(tmp_path, [outlined], region="boxes")[0]


@pytest.mark.parametrize(
    "upright", [{"attributes": {"rotation": 0.0}}, {"rotation": 180}, {"angle": "front"}, {"rotated": False}], ids=repr
)
def test_upright_boxes_are_read(tmp_path, upright):
    assert coco(tmp_path, [entry(6, BOX, **upright)])[0].boxes.tolist() == [[20, 10, 40, 30]]


def test_five_numbers_are_no_box(tmp_path):
    with pytest.raises(ValueError, match=r"annotation 6 has no bbox \[x, y, w, h\] but 5 numbers; rotated boxes"):
        coco(tmp_path, [entry(6, (*BOX, 30))])[0]


@pytest.mark.parametrize(
    "more",
    [
        "<robndbox><cx>1</cx><angle>0.5</angle></robndbox>",
        "<angle>12</angle>",
        "<attributes><attribute><name>rotation</name><value>45.0</value></attribute></attributes>",
    ],
)
def test_rotated_boxes_in_voc_files(tmp_path, more):
    data = voc(tmp_path, more=more)
    with pytest.raises(ValueError, match=r"p1\.xml, object 1 \(cat\) has .*rotated boxes are not read"):
        data[0]


@pytest.mark.parametrize("outline", [[], None, [[0, 0, 0, 0, 0, 0]], {"size": [40, 60], "counts": [2400]}], ids=repr)
@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 0, 7), ("5", 5, "0", 0)], ids=repr)
def test_objects_without_a_box_are_left_out_and_counted(tmp_path, box, outline):
    data = coco(tmp_path, [entry(1, BOX), entry(2, box, category=2, segmentation=outline)])
    assert data[0].boxes.tolist() == [[20, 10, 40, 30]]
    assert labels(data) == [[0]]
    assert data.remarks == ["1 object has an empty box and is left out: p1.png: annotation 2 (dog)"]


def test_an_empty_box_beside_an_outline_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"annotation 2: .*is empty or inverted"):
        coco(tmp_path, [entry(2, (20, 10, 0, 0), segmentation=OUTLINE)])[0]


def test_empty_objects_of_voc_files(tmp_path):
    good = voc_xml()
    empty = good.replace("cat", "dog").replace(">20<", ">0<").replace(">12<", ">0<").replace(">40</xmax", ">0</xmax")
    empty = empty[empty.index("<object>") : empty.index("</annotation>")].replace(">26<", ">0<")
    voc(tmp_path)
    (tmp_path / "p1.xml").write_text(good.replace("</annotation>", empty + "</annotation>"))
    data = folder(tmp_path)
    assert labels(data) == [[data.classes.index("cat")]]
    (line,) = data.remarks
    assert line.startswith("1 object with an empty box left out: ")
    assert "p1.xml, object 2 (dog)" in line


def test_a_file_of_boxes_alone_needs_no_setting(tmp_path):
    data = coco(tmp_path, [entry(1, BOX)], region=None)
    assert data[0].region(0).area == 400
    assert data.remarks == [
        "the regions are boxes, as no annotation has an outline; dataset.region=masks|boxes chooses"
    ]
    outline = [[20, 10, 40, 10, 40, 30]]
    data = coco(tmp_path, [entry(1, BOX, segmentation=outline, area=200)], region=None)
    assert 150 < data[0].region(0).area < 250
    assert data.remarks[0].startswith("the regions are masks, as annotations have outlines")
    data = coco(tmp_path, [entry(1, BOX, segmentation=outline), entry(2, BOX)], region=None)
    with pytest.raises(ValueError, match=r"annotation 2 has no segmentation; dataset\.region=boxes"):
        list(pairs(data[0]))
    assert load(["dataset=folder"]).dataset.region is None


@pytest.mark.parametrize("text", ["2024_11", "2007_000027", "1e5", "1_0", "2024.10", "-1", "nan", "0.0"])
def test_names_stay_as_they_are_typed(text):
    for name in ("dataset.name", "model.name", "method.name"):
        cfg = load([f"{name}={text}"])
        assert cfg[name.partition(".")[0]].name == text
    assert load(["dataset=folder", f"dataset.classes=[{text},cat, '{text}']"]).dataset.classes == [text, "cat", text]
    assert load([f"dataset.name='{text}'"]).dataset.name == text
    jobs = load_jobs([f"dataset.name={text},b"], multirun=True)[1]
    assert [cfg.dataset.name for _, _, cfg in jobs] == [text, "b"]


def test_other_settings_stay_numbers():
    assert as_text("seed=1_0") == "seed=1_0"
    assert load(["limit=20"]).limit == 20
    for override in ("dataset.name=true", "dataset.name=null", "dataset.name=${model.name}", "dataset.name=a b"):
        assert as_text(override) == override


def test_the_example_of_the_how_to_is_read(tmp_path):
    from pathlib import Path

    text = (Path(__file__).parent.parent / "docs" / "howto" / "data.md").read_text(encoding="utf-8")
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    for image in example["images"]:
        Image.fromarray(np.zeros((image["height"], image["width"], 3), np.uint8)).save(tmp_path / image["file_name"])
    (tmp_path / "annotations.json").write_text(json.dumps(example))
    data = folder(tmp_path)
    assert data.classes == ("cat", "dog"), "by the numbers of the categories"
    assert [[data.classes[p.label] for p in pairs(s)] for s in data] == [["cat", "dog"], ["dog"]]


@pytest.mark.parametrize("text", ["2024_11", "2007_000027", "1e5", "0x10", "1:30", "2024"])
def test_a_number_as_name_in_a_file_of_settings_is_refused_and_a_quoted_one_is_the_text(
    text, tmp_path, monkeypatch, capsys
):
    """YAML reads 2024_11 and 202411 as one number: nobody knows which of the two was meant."""
    conf = shutil.copytree(config.CONF, tmp_path / "conf")
    monkeypatch.setattr(config, "CONF", conf)
    settings = (conf / "dataset" / "demo.yaml").read_text().replace("name: demo\n", f"name: {text}\n")
    (conf / "dataset" / "mine.yaml").write_text(settings)
    (conf / "dataset" / "quoted.yaml").write_text(settings.replace(f"name: {text}\n", f"name: '{text}'\n"))
    call = ["method=center", "limit=2", "dataset.build.count=4", f"results={tmp_path}"]
    assert run.main(["dataset=mine", *call]) == 1
    assert "error: dataset.name must be a name" in (said := capsys.readouterr().err)
    assert "quote it" in said
    assert not (tmp_path / "records").exists()
    assert run.main(["dataset=quoted", *call]) == 0
    (folder,) = (tmp_path / "records").iterdir()
    assert json.loads((folder / "run.json").read_text())["dataset"] == text
