"""Names, ids and keys: one name means one file, class or picture, and what means two is refused."""

import pytest
from PIL import Image

from eval.datasets.coco import Coco
from eval.datasets.folder import folder
from eval.datasets.imagenet import ImageNet
from eval.datasets.voc import VOC
from tests import voc_devkit
from tests.test_trust_files import SIZE, SYNSET, coco, entry, imagenet, voc, voc_xml

APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "  # how macOS begins its ._ files


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE).save(path, "PNG")


def test_suffixes_in_capital_letters_in_a_folder(tmp_path):
    for stem, xml, image in (("p1", "xml", "png"), ("p2", "XML", "PNG"), ("p3", "Xml", "JPG"), ("p4", "xml", "Jpeg")):
        (tmp_path / f"{stem}.{xml}").write_text(voc_xml())
        picture(tmp_path / f"{stem}.{image}")
    data = folder(tmp_path)
    assert [sample.key for sample in data] == ["p1", "p2", "p3", "p4"]
    for sample in data:
        sample.check_size()
    (tmp_path / "p1.XML").write_text(voc_xml())
    with pytest.raises(ValueError, match=r"two files called p1: p1\.(XML|xml) and p1\.(xml|XML)"):
        folder(tmp_path)


def test_suffixes_in_capital_letters_elsewhere(tmp_path):
    base = voc_devkit.write(tmp_path / "voc", voc_devkit.random_annotations(3)) / "VOC2007"
    (base / "Annotations" / "000002.xml").rename(base / "Annotations" / "000002.XML")
    (base / "JPEGImages" / "000003.jpg").rename(base / "JPEGImages" / "000003.JPG")
    data = VOC(base)
    assert [sample.image.size for sample in data] == [sample.size for sample in data]
    (base / "JPEGImages" / "000003.Jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"000003\.jpg can mean 000003\.JPG or 000003\.Jpg"):
        VOC(base)

    (tmp_path / "imagenet").mkdir()
    assert len(imagenet(tmp_path / "imagenet", (1, 2, 30, 20), csv=False)) == 1
    box = tmp_path / "imagenet" / "bbox" / "v1.xml"
    box.rename(box.with_suffix(".XML"))
    assert ImageNet(tmp_path / "imagenet")[0].boxes.tolist() == [[1, 2, 31, 21]]

    (tmp_path / "csv").mkdir()
    imagenet(tmp_path / "csv", (1, 2, 30, 20))
    (tmp_path / "csv" / "LOC_val_solution.csv").rename(tmp_path / "csv" / "LOC_val_solution.CSV")
    assert ImageNet(tmp_path / "csv")[0].boxes.tolist() == [[1, 2, 31, 21]]

    (tmp_path / "coco").mkdir()
    coco(tmp_path / "coco", [entry(1, (20, 12, 20, 14))])
    (tmp_path / "coco" / "p1.png").rename(tmp_path / "coco" / "p1.PNG")
    (tmp_path / "coco" / "annotations.json").rename(tmp_path / "coco" / "annotations.JSON")
    assert folder(tmp_path / "coco", region="boxes")[0].image.size == SIZE
    (tmp_path / "coco" / "annotations.JSON").rename(tmp_path / "coco" / "Instances_val.JSON")
    with pytest.raises(FileNotFoundError):
        Coco(tmp_path / "coco", "val")
    (tmp_path / "coco" / "Instances_val.JSON").rename(tmp_path / "coco" / "instances_val.JSON")
    assert Coco(tmp_path / "coco", "val", region="boxes")[0].key == "p1"


def test_hidden_files_are_not_data_and_are_counted(tmp_path):
    data = voc(tmp_path)
    for name in ("._p1.xml", "._p1.png", ".DS_Store", "._q.XML"):
        (tmp_path / name).write_bytes(APPLE)
    data = folder(tmp_path)
    assert data.keys == ("p1",)
    assert data.remarks == [
        f"2 hidden files in {tmp_path} not read: ._p1.xml, ._q.XML",
        f"1 hidden file in {tmp_path} not read: ._p1.png",
    ]

    (tmp_path / "coco").mkdir()
    coco(tmp_path / "coco", [entry(1, (20, 12, 20, 14))])
    (tmp_path / "coco" / "._annotations.json").write_bytes(APPLE)
    assert len(folder(tmp_path / "coco")) == 1

    for csv in (True, False):
        root = tmp_path / f"imagenet {csv}"
        root.mkdir()
        imagenet(root, (1, 2, 30, 20), csv)
        (root / "val" / "._v1.JPEG").write_bytes(APPLE)
        (root / "val" / SYNSET).mkdir()
        (root / "val" / SYNSET / "._v9.JPEG").write_bytes(APPLE)
        if not csv:
            (root / "bbox" / "._v1.xml").write_bytes(APPLE)
        data = ImageNet(root)
        assert (data.keys, data.notes) == (("v1",), ())
        assert data.remarks == [f"2 hidden files in {root / 'val'} not read: ._v1.JPEG, {SYNSET}/._v9.JPEG"]


def numbered(ids):
    return [{"id": i, "name": f"c{i}"} for i in ids]


@pytest.mark.parametrize(
    "form", [int, str, float, lambda i: f" {i} ", lambda i: f"{i:03}"], ids=["1", "'1'", "1.0", "' 1 '", "'001'"]
)
def test_ids_are_sorted_as_numbers_however_they_are_written(tmp_path, form):
    """As texts, 10, 11 and 12 would come before 2, and each output would stand for another class."""
    ids = [12, 2, 10, 1, 11]
    boxes = [entry(n, (20, 12, 20, 14), form(i)) for n, i in enumerate(ids)]
    data = coco(tmp_path, boxes, [{"id": form(i), "name": f"c{i}"} for i in ids])
    assert data.classes == ("c1", "c2", "c10", "c11", "c12")
    assert [data.classes[label] for label in data[0].labels] == [f"c{i}" for i in ids]
    images = [{"id": form(i), "file_name": f"p{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in ids]
    boxes = [entry(1, (20, 12, 20, 14)) | {"image_id": form(10)}]
    data = coco(tmp_path, boxes, images=images)
    assert data.keys == ("p1", "p2", "p10", "p11", "p12")
    assert [len(sample.boxes) for sample in data] == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["cat", "dog"], "the id 'cat' of 'categories' is no whole number"),
        (["1", 2], "'categories' are numbers and texts mixed"),
        ([1, "2"], "'categories' are numbers and texts mixed"),
        (["1", "01"], "two entries of 'categories' have one id"),
        ([1, 1.0], "two entries of 'categories' have one id"),
        ([1, True], "entry 1 of 'categories' has no id"),
        ([1, None], "entry 1 of 'categories' has no id"),
        ([1, 1.5], "entry 1 of 'categories' has no id"),
        ([1, ""], "entry 1 of 'categories' has no id"),
        ([1, [2]], "entry 1 of 'categories' has no id"),
    ],
    ids=repr,
)
def test_ids_without_an_order_are_refused(tmp_path, ids, said):
    with pytest.raises(ValueError, match=rf"annotations\.json.*{said}"):
        coco(tmp_path, [], numbered(ids))


def test_ids_of_two_kinds_in_two_lists_are_refused(tmp_path):
    for change in ({"category_id": "1"}, {"image_id": "1"}):
        with pytest.raises(ValueError, match="numbers and texts mixed"):
            coco(tmp_path, [entry(1, (20, 12, 20, 14)) | change])


def test_words_as_ids_of_pictures_mean_no_order(tmp_path):
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in ("b", "10", "9")]
    data = coco(tmp_path, [entry(1, (20, 12, 20, 14)) | {"image_id": "9"}], images=images)
    assert (data.keys, [len(s.boxes) for s in data]) == (("10", "9", "b"), [0, 1, 0])


@pytest.mark.parametrize("name", [None, True, "", 1.5, ["a"], "\ud800"], ids=repr)
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ValueError, match=r"annotations\.json.*(has no id or no name|is not UTF-8)"):
        coco(tmp_path, [], [{"id": 1, "name": name}])


def test_classes_as_a_setting(tmp_path):
    voc(tmp_path, name="6")
    assert folder(tmp_path, classes=[9, 6])[0].labels.tolist() == [1]
    with pytest.raises(ValueError, match=r"object 1 \(6\): unknown class; the data set has 8, 9"):
        folder(tmp_path, classes=[8, 9])[0]
    for wrong in ("cat", [], [True, "cat"], [None], [1.5], [["a"]], [""]):
        with pytest.raises(ValueError, match=r"dataset\.classes"):
            folder(tmp_path, classes=wrong)
    with pytest.raises(ValueError, match=r"dataset\.classes names a class twice"):
        folder(tmp_path, classes=[6, "6"])
    with pytest.raises(ValueError, match=r"dataset\.region must be masks or boxes"):
        folder(tmp_path, region="circles")
    coco(tmp_path, [])
    with pytest.raises(ValueError, match=r"dataset\.classes is for VOC's format"):
        folder(tmp_path, classes=["cat", "dog"])
