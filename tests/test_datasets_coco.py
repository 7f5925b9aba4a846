"""COCO from small files in its format: masks, crowds, boxes, what is missing, what is wrong and named."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as cocomask

from eval.datasets.coco import Coco
from eval.game.sample import pairs


def coco_content():
    """Two pictures; a triangle of one class, a crowd as run lengths, a box of another class, ids with gaps."""
    runs = [0] * 0 + [30 * 20, 30 * 5, 30 * 15]  # columns 20 to 24
    return {
        "images": [
            {"id": 90, "file_name": "b.jpg", "width": 40, "height": 30},
            {"id": 7, "file_name": "a.jpg", "width": 8, "height": 9},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 90, "category_id": 18, "iscrowd": 0, "bbox": [2.5, 4.0, 10.0, 20.5],
             "segmentation": [[2.5, 4.0, 12.5, 4.0, 12.5, 24.5]]},
            {"id": 2, "image_id": 90, "category_id": 18, "iscrowd": 1, "bbox": [20, 0, 5, 30],
             "segmentation": {"size": [30, 40], "counts": runs}},
            {"id": 3, "image_id": 90, "category_id": 3, "bbox": [30, 10, 10, 20],
             "segmentation": [[30, 10, 40, 10, 40, 30, 30, 30]]},
        ],
    }  # fmt: skip


def write_coco(root, content, images="val2014", annotations="annotations/instances_val2014.json"):
    (root / images).mkdir(parents=True, exist_ok=True)
    for name, size in (("a.jpg", (8, 9)), ("b.jpg", (40, 30))):
        Image.new("RGB", size).save(root / images / name)
    (root / annotations).parent.mkdir(parents=True, exist_ok=True)
    (root / annotations).write_text(content if isinstance(content, str) else json.dumps(content))
    return root


@pytest.mark.parametrize("layout", [(), ("images", "instances.json"), ("images/val2014", "instances_val2014.json")])
def test_coco(tmp_path, layout):
    write_coco(tmp_path, coco_content(), *layout)
    data = pickle.loads(pickle.dumps(Coco(tmp_path)))
    assert data.classes == ("car", "dog")  # by id, not by order in the file
    assert data.keys == ("a", "b")
    sample = pickle.loads(pickle.dumps(data[1]))
    assert sample.boxes.tolist() == [[2, 4, 13, 25], [20, 0, 25, 30], [30, 10, 40, 30]]
    assert sample.labels.tolist() == [1, 1, 0]
    assert sample.hard.tolist() == [False, True, False]
    car, dog = sample.region(0).mask, sample.region(1).mask
    assert car.sum() == 200
    assert car[10:30, 30:40].all()
    assert dog[:, 20:25].all()
    # Above the diagonal of the triangle, not below; half the box, give or take the border.
    assert dog[6, 11]
    assert not dog[23, 4]
    assert abs(dog[:, :20].sum() - 10 * 20.5 / 2) < 12
    boxes = Coco(tmp_path, region="boxes")[1].region(1)
    assert boxes.area == 11 * 21 + 5 * 30
    assert [p.label for p in pairs(sample)] == [0, 1]
    assert len(list(pairs(data[0]))) == 0


def test_coco_masks_agree_with_pycocotools(tmp_path):
    """Packed run lengths, as COCO's own files have them, decoded here without its C code."""
    content = coco_content()
    mask = np.asfortranarray(np.random.default_rng(0).random((30, 40)) < 0.3, np.uint8)
    mask[5:25, 8:30] = 1
    packed = cocomask.encode(mask)
    content["annotations"][0] |= {
        "segmentation": {"size": [30, 40], "counts": packed["counts"].decode()},
        "bbox": [0, 0, 40, 30],
    }
    data = Coco(write_coco(tmp_path, content))
    assert np.array_equal(data[1].masks(np.array([0])), mask.astype(bool))
    union = data[1].region(1).mask
    expected = mask.astype(bool)
    expected[:, 20:25] = True
    assert np.array_equal(union, expected)


def test_coco_objects_thinner_than_a_pixel_are_still_there(tmp_path):
    content = coco_content()
    content["annotations"][2] |= {
        "bbox": [30.2, 10, 0.3, 5],
        "segmentation": [[30.2, 10, 30.5, 10, 30.5, 15, 30.2, 15]],
    }
    region = Coco(write_coco(tmp_path, content))[1].region(0)
    assert region.area == 5
    assert region.mask[10:15, 30].all()


def change(part, number, **values):
    def apply(content):
        content[part][number] |= values
        return content

    return apply


BAD_COCO = {
    "no json": (lambda c: "{", "no readable JSON"),
    "html": (lambda c: "<html>", "no readable JSON"),
    "deep": (lambda c: "[" * 101 + "]" * 101, "no readable JSON: more than 100 levels"),
    "a list": (lambda c: [], "no list 'images'"),
    "no annotations": (lambda c: {k: v for k, v in c.items() if k != "annotations"}, "no list 'annotations'"),
    "captions": (
        lambda c: c | {"annotations": [{"image_id": 7, "caption": "a"}]},
        "entry 0 of 'annotations' has no category_id",
    ),
    "entry is a number": (lambda c: c | {"images": [3]}, "entry 0 of 'images'"),
    "two pictures of one id": (change("images", 0, id=7), "two entries of 'images' have one id"),
    "ids of two kinds": (change("images", 0, id="7"), "mixed|not listed"),
    "name is a list": (change("images", 0, file_name=["a"]), "entry 0 of 'images'"),
    "unlisted picture": (change("annotations", 0, image_id=8), "1 annotated pictures are not listed"),
    "unknown category": (change("annotations", 0, category_id=99), "annotation 1: unknown category_id 99"),
    "one name twice": (change("categories", 0, name="car"), "two categories of one name"),
    "no width": (change("images", 0, width=None), "picture b.jpg: the width is None"),
    "huge": (change("images", 0, width=1e9), "pixels and are refused"),
    "no bbox": (change("annotations", 0, bbox=None), r"annotation 1 has no bbox"),
    "short bbox": (change("annotations", 0, bbox=[1, 2, 3]), r"annotation 1 has no bbox"),
    "bbox in words": (change("annotations", 0, bbox=["a", 2, 3, 4]), "annotation 1, bbox .* no number"),
    "bbox of nan": (change("annotations", 0, bbox=[float("nan"), 2, 3, 4]), "not a coordinate"),
    "bbox of 1e300": (change("annotations", 0, bbox=[0, 0, 1e300, 4]), "not a coordinate"),
    "inverted": (change("annotations", 0, bbox=[20, 20, -5, 4]), "annotation 1: .* empty or inverted"),
    "zero area": (change("annotations", 0, bbox=[20, 20, 0, 0]), "annotation 1: .* empty or inverted"),
    "outside": (change("annotations", 0, bbox=[100, 2, 3, 4]), "annotation 1: .* leaves the 40 x 30 picture"),
    "escape": (change("images", 0, file_name="../../secret.jpg"), "does not stay inside"),
    "absolute": (change("images", 0, file_name="/elsewhere/a.jpg"), "does not stay inside"),
    "no segmentation": (change("annotations", 0, segmentation=None), "annotation 1 has no segmentation"),
    "empty segmentation": (change("annotations", 0, segmentation=[]), "annotation 1 has no segmentation"),
    "polygon of two points": (change("annotations", 0, segmentation=[[1, 2, 3, 4]]), "at least three points"),
    "polygon of 1e9": (change("annotations", 0, segmentation=[[1, 2, 1e9, 4, 5, 6]]), "lies far outside"),
    "polygon of nan": (change("annotations", 0, segmentation=[[1, 2, float("inf"), 4, 5, 6]]), "not a coordinate"),
    "polygon in words": (
        change("annotations", 0, segmentation=[[1, 2, "x", 4, 5, 6]]),
        "coordinate of a polygon is 'x', no number",
    ),
    "mask of another size": (
        change("annotations", 0, segmentation={"size": [3, 4], "counts": [12]}),
        "not the picture's",
    ),
    "short runs": (change("annotations", 0, segmentation={"size": [30, 40], "counts": [3]}), "sum to 3, not to"),
    "negative runs": (change("annotations", 0, segmentation={"size": [30, 40], "counts": [-5, 1205]}), "whole numbers"),
    "huge runs": (change("annotations", 0, segmentation={"size": [30, 40], "counts": [10**15]}), "sum to"),
    "packed rubbish": (change("annotations", 0, segmentation={"size": [30, 40], "counts": "\x01"}), "damaged"),
    "packed too long": (change("annotations", 0, segmentation={"size": [30, 40], "counts": "o" * 9}), "damaged"),
    "packed cut": (change("annotations", 0, segmentation={"size": [30, 40], "counts": "o"}), "end in the middle"),
}


@pytest.mark.parametrize("name", BAD_COCO)
def test_bad_coco_files_are_named(tmp_path, name):
    spoil, said = BAD_COCO[name]
    write_coco(tmp_path, spoil(coco_content()))
    with pytest.raises(ValueError, match=rf"(?s){'instances_val2014.json.*' if 'stay' not in said else ''}({said})"):
        list(pairs(Coco(tmp_path)[1]))


def test_coco_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"instances_val2014\.json.*dataset\.root=DIR"):
        Coco(tmp_path)
    write_coco(tmp_path, coco_content(), annotations="annotations/instances_val2017.json")
    with pytest.raises(FileNotFoundError, match=r"there are instances_val2017\.json .dataset\.split"):
        Coco(tmp_path)
    (tmp_path / "val2014" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 pictures .* the first is b\.jpg"):
        Coco(tmp_path, annotations="annotations/instances_val2017.json")
    with pytest.raises(ValueError, match="masks or boxes, not 'outlines'"):
        Coco(tmp_path, region="outlines")
