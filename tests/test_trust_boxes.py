"""Boxes, outlines and masks that contradict themselves are refused by file and object; honest ones pass unchanged."""

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as cocomask

from eval.datasets.folder import folder
from eval.datasets.masks import extent
from eval.datasets.pictures import MAX_PIXELS
from eval.game.sample import pairs
from tests.test_trust_files import coco, entry, imagenet, voc

KIT = Path(__file__).parents[2] / "shared" / "data" / "real" / "coco128"


SHARES = [(0.3, 0.2, 0.5, 0.6), (0, 0, 1, 1), (0.1, 0.1, 1.0002, 1), ("0.3", "0.2", "0.5", "0.6")]


@pytest.mark.parametrize("box", SHARES, ids=repr)
def test_shares_of_the_picture_are_no_pixels(tmp_path, box):
    for number, make in enumerate(
        (
            lambda root: coco(root, [entry(3, box)])[0],
            lambda root: voc(root, box=box)[0],
            lambda root: imagenet(root, box)[0],
            lambda root: imagenet(root, box, csv=False)[0],
        )
    ):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(ValueError, match=r"(annotation 3|object 1|v1).*lie between 0 and 1.*60 x 40"):
            make(tmp_path / str(number))


def test_shares_in_an_outline(tmp_path):
    """Within their box, so that nothing else gives them away."""
    outline = [entry(3, (0, 0, 20, 14), segmentation=[[0.3, 0.3, 0.6, 0.3, 0.6, 0.6]])]
    with pytest.raises(ValueError, match=r"annotation 3, segmentation: .*lie between 0 and 1"):
        list(pairs(coco(tmp_path, outline, region="masks")[0]))


RUNS = {"size": [40, 60], "counts": [4 * 40 + 4, *[16, 24] * 15, 16, 60 * 40 - (19 * 40 + 20)]}  # x 4..20, y 4..20
CORNERS = {
    "outline": {"segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]]},
    "mask": {"segmentation": RUNS},
    "packed mask": {"segmentation": cocomask.frPyObjects(RUNS, 40, 60) | {"counts": None}},
    "area": {"area": 256},
    "area, inclusive": {"area": 17 * 17},
}
CORNERS["packed mask"]["segmentation"]["counts"] = cocomask.frPyObjects(RUNS, 40, 60)["counts"].decode()


@pytest.mark.parametrize("evidence", CORNERS)
@pytest.mark.parametrize("region", ["boxes", "masks"])
def test_a_box_written_as_corners_contradicts_its_own_outline_mask_or_area(tmp_path, evidence, region):
    with pytest.raises(ValueError, match=r"annotations\.json, picture p1\.png, annotation 8: bbox .*corners x0, y0"):
        coco(tmp_path, [entry(8, (4, 4, 20, 20), **CORNERS[evidence])], region=region)[0]
    assert coco(tmp_path, [entry(8, (4, 4, 16, 16), **CORNERS[evidence])])[0].boxes.tolist() == [[4, 4, 20, 20]]


def test_numbers_as_text_contradict_as_well(tmp_path):
    texts = {"segmentation": [["4", "4", "20", "4", "20", "20", "4", "20"]]}
    for evidence in (texts, {"area": "256"}):
        with pytest.raises(ValueError, match=r"annotation 8: bbox .*corners"):
            coco(tmp_path, [entry(8, ("4", "4", "20", "20"), **evidence)])[0]


def test_corners_that_leave_the_picture_as_sizes_are_suspected(tmp_path):
    with pytest.raises(ValueError, match=r"leaves the 60 x 40 picture \(bbox is read as .* as corners"):
        coco(tmp_path, [entry(8, (30, 20, 50, 36))])[0]
    with pytest.raises(ValueError, match=r"leaves the 60 x 40 picture$"):
        coco(tmp_path, [entry(8, (30, 20, 50, 10))])[0]


def test_one_box_as_corners_among_others(tmp_path):
    good = [entry(n, (n, n, 10, 12), area=120) for n in range(1, 20)]
    with pytest.raises(ValueError, match="annotation 20: bbox"):
        coco(tmp_path, [*good, entry(20, (4, 4, 20, 20), area=256)])[0]


def test_an_area_of_a_mask_that_is_not_there_says_nothing_about_the_box(tmp_path):
    """All areas are smaller than their boxes, and one is by chance that of the corners."""
    masks = [entry(n, (n, n, 10, 12), area=60 + n) for n in range(1, 20)]
    assert len(coco(tmp_path, [*masks, entry(20, (4, 4, 20, 20), area=256)])[0].boxes) == 20


def test_a_box_beside_its_outline_is_refused_and_one_around_hidden_parts_is_not(tmp_path):
    outline = {"segmentation": [[20, 12, 40, 12, 40, 26, 20, 26]]}
    with pytest.raises(ValueError, match=r"annotation 8: its outline or mask, x 20\.\.40, y 12\.\.26, leaves its box"):
        coco(tmp_path, [entry(8, (30, 19, 20, 14), **outline)])[0]  # its centre and size
    assert coco(tmp_path, [entry(8, (16, 10, 30, 28), **outline)])[0].boxes.tolist() == [[16, 10, 46, 38]]


@given(st.integers(0, 2**32 - 1))
def test_extents_agree_with_pycocotools(seed):
    """The second implementation: boxes of masks as COCO's own program gives them."""
    rng = np.random.default_rng(seed)
    width, height = (int(v) for v in rng.integers(3, 40, 2))
    mask = np.asfortranarray(rng.random((height, width)) < rng.choice([0.02, 0.3]), np.uint8)
    packed = cocomask.encode(mask)
    actual = extent({"size": [height, width], "counts": packed["counts"].decode()}, (width, height))
    x, y, w, h = cocomask.toBbox(packed).tolist()
    assert actual == ((x, y, x + w, y + h) if mask.any() else None)
    polygon = rng.uniform(0, 1, (int(rng.integers(3, 9)), 2)) * (width, height)
    low, high = polygon.min(0).tolist(), polygon.max(0).tolist()
    assert extent([polygon.ravel().tolist()], (width, height)) == (*low, *high)


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of 128 COCO pictures is not at hand")
@pytest.mark.parametrize("region", ["masks", "boxes"])
def test_honest_coco_files_pass_unchanged(region):
    """939 objects, ten of them crowds; boxes by COCO's definition, from the JSON alone."""
    content = json.loads((KIT / "instances.json").read_text())
    said = {}
    for o in content["annotations"]:
        x, y, w, h = o["bbox"]
        corners = [math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h)]
        said.setdefault(o["image_id"], []).append((corners, bool(o["iscrowd"])))
    data = folder(KIT, region=region)
    assert data.remarks == []
    for image, sample in zip(data.images, data, strict=True):
        expected = said.get(image["id"], [])
        edges = np.array([box for box, _ in expected]).reshape(-1, 4)
        assert np.abs(sample.boxes - edges.clip(0, [*sample.size, *sample.size])).max(initial=0) == 0
        assert sample.hard.tolist() == [crowd for _, crowd in expected]
        list(pairs(sample))


def test_a_mask_one_row_over_the_limit_takes_no_memory(tmp_path):
    """The size is refused before the run lengths become pixels."""
    width, height = 10_000, MAX_PIXELS // 10_000 + 1
    images = [{"id": 1, "file_name": "p1.png", "width": width, "height": height}]
    mask = {"size": [height, width], "counts": [0, width * height]}
    data = coco(tmp_path, [entry(1, (0, 0, width, height), segmentation=mask)], images=images, region="masks")
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"more than {MAX_PIXELS:,} pixels"):
        list(pairs(data[0]))
    assert data.remarks == []
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_packed_run_lengths_hold_at_most_eight_characters_a_number(tmp_path):
    for packed, said in (("o" * 9, "are damaged"), ("o" * 8, "end in the middle")):
        outline = [entry(1, (4, 4, 16, 16), segmentation={"size": [40, 60], "counts": packed})]
        with pytest.raises(ValueError, match=f"annotation 1: the mask's packed run lengths {said}"):
            list(pairs(coco(tmp_path, outline, region="masks")[0]))
