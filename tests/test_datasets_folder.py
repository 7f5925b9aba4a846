"""A user's own pictures with annotations in COCO's or VOC's format."""

import pickle

import pytest
from PIL import Image

from eval.datasets.folder import folder
from tests.test_datasets_coco import coco_content, write_coco
from tests.voc_devkit import xml

CAT = ("cat", (1, 1, 10, 20), False)


def test_folder_in_coco_format(tmp_path):
    write_coco(tmp_path, coco_content(), "images", "labels.json")
    assert [s.key for s in folder(tmp_path)] == ["a", "b"]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"several \*\.json: choose with dataset\.annotations"):
        folder(tmp_path)
    assert len(folder(tmp_path, annotations="labels.json", region="boxes")) == 2


@pytest.mark.parametrize("place", ["Annotations", "."])
@pytest.mark.parametrize("images", ["images", "."])
def test_folder_in_voc_format(tmp_path, place, images):
    names = {"my cat": "my cat.PNG", "two": "2 (copy).webp"}
    for number, (stem, name) in enumerate(names.items()):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / images).mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(tmp_path / images / name)
        text = xml({"key": stem, "size": (40, 30), "objects": [[CAT], [("zebu", (1, 1, 2, 2), False)]][number]})
        (tmp_path / place / f"{stem}.xml").write_text(text.replace("two.jpg", "2 (copy).webp"))
    data = pickle.loads(pickle.dumps(folder(tmp_path)))
    assert data.classes == ("cat", "zebu")
    assert [s.image.size for s in data] == [(40, 30)] * 2
    assert folder(tmp_path, classes=["zebu", "cat"])[0].labels.tolist() == [1]
    with pytest.raises(ValueError, match="unknown class; the data set has cat"):
        folder(tmp_path, classes=["cat"])[1]
    (tmp_path / images / "my cat.PNG").unlink()
    with pytest.raises(FileNotFoundError, match=r"my cat\.xml: no picture my cat\.\*"):
        folder(tmp_path)


def test_folder_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither \*\.json nor \*\.xml.*dataset\.annotations=NAME"):
        folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="not configured"):
        folder(None)
    with pytest.raises(FileNotFoundError, match=r"there is no .*x\.json"):
        folder(tmp_path, annotations="x.json")
