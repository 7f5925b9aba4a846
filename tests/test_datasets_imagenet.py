"""ImageNet from small folders in the layouts in circulation: boxes in both forms, what is missing, what is wrong."""

import csv
import pickle
import warnings

import pytest
from PIL import Image

from eval.datasets.imagenet import ImageNet
from eval.game.sample import pairs
from eval.networks.class_map import imagenet_classes
from tests.voc_devkit import xml

SYNSETS = list(imagenet_classes())
VAL = [("ILSVRC2012_val_00000001", SYNSETS[65], (40, 30), [(0, 0, 9, 19), (20, 10, 39, 29)]),
       ("ILSVRC2012_val_00000002", SYNSETS[970], (8, 9), [(2, 3, 4, 5)])]  # fmt: skip


def imagenet_pictures(root, per_synset):
    for key, synset, size, _ in VAL:
        place = root / synset if per_synset else root
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (9, 9, 9)).save(place / f"{key}.JPEG", "JPEG")


def imagenet_boxes(root, solution):
    if solution:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / "LOC_val_solution.csv", "w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["ImageId", "PredictionString"])
            for key, synset, _, boxes in reversed(VAL):
                rows.writerow([key, " ".join(f"{synset} {' '.join(map(str, box))}" for box in boxes) + " "])
    else:
        place = root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
        place.mkdir(parents=True)
        for key, synset, size, boxes in VAL:
            (place / f"{key}.xml").write_text(
                xml({"key": key, "size": size, "objects": [(synset, box, False) for box in boxes]})
            )


@pytest.mark.parametrize("per_synset", [False, True], ids=["flat", "folders"])
@pytest.mark.parametrize("solution", [False, True], ids=["xml", "csv"])
@pytest.mark.parametrize("place", [".", "val", "ILSVRC/Data/CLS-LOC/val"])
def test_imagenet_in_the_layouts_in_circulation(tmp_path, per_synset, solution, place):
    imagenet_pictures(tmp_path / place, per_synset)
    imagenet_boxes(tmp_path, solution)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = pickle.loads(pickle.dumps(ImageNet(tmp_path)))
    assert data.notes == ()
    assert len(data.classes) == 1000
    first, second = data
    assert (first.key, first.size, first.image.size) == ("ILSVRC2012_val_00000001", (40, 30), (40, 30))
    # 0-based inclusive in the files.
    assert first.boxes.tolist() == [[0, 0, 10, 20], [20, 10, 40, 30]]
    assert first.labels.tolist() == [65, 65]
    assert second.labels.tolist() == [970]
    assert [p.label for p in pairs(first)] == [65]
    assert data.classes[65] == "sea snake"


def test_imagenet_pictures_without_boxes_are_counted_and_named(tmp_path):
    imagenet_pictures(tmp_path, False)
    imagenet_boxes(tmp_path, False)
    Image.new("RGB", (4, 4)).save(tmp_path / "ILSVRC2012_val_00000003.JPEG")
    (tmp_path / "ILSVRC2012_val_00000002.JPEG").unlink()
    data = ImageNet(tmp_path)
    assert data.keys == ("ILSVRC2012_val_00000001",)
    assert [note.partition(" ")[0] for note in data.notes] == ["1", "1"]
    assert "no boxes and are left out: ILSVRC2012_val_00000003" in data.notes[0]
    assert "ILSVRC2012_val_00000002" in data.notes[1]


def test_imagenet_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no pictures in .*dataset\.root=DIR"):
        ImageNet(tmp_path)
    imagenet_pictures(tmp_path, False)
    with pytest.raises(FileNotFoundError, match=r"no boxes in .*LOC_val_solution\.csv.*dataset\.boxes=DIR_OR_CSV"):
        ImageNet(tmp_path)
    with pytest.raises(FileNotFoundError, match="not configured"):
        ImageNet(None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ILSVRC2012_val_00000001,n01751748 0 0 9", "groups of a synset and four numbers"),
        ("ILSVRC2012_val_00000001,", "groups of a synset and four numbers"),
        ("ILSVRC2012_val_00000001,n00000000 0 0 9 9", "'n00000000' is no synset of ILSVRC2012"),
        ("ILSVRC2012_val_00000001,n01751748 0 0 x 9", "box 1 is 'x', no number"),
        ("ILSVRC2012_val_00000001,n01751748 9 9 0 0", "is empty or inverted"),
        ("ILSVRC2012_val_00000001,n01751748 0 0 900 9", "leaves the 40 x 30 picture"),
        ("ILSVRC2012_val_00000001", "line 2: not one new picture"),
        ("ILSVRC2012_val_00000001,a,b", "line 2: not one new picture"),
        (None, "does not begin with the columns"),
    ],
)
def test_imagenet_bad_solutions_are_named(tmp_path, line, said):
    imagenet_pictures(tmp_path, False)
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" * (line is not None) + f"{line}\n")
    with pytest.raises(ValueError, match=rf"LOC_val_solution\.csv.*{said}"):
        ImageNet(tmp_path)[0]


def test_imagenet_folder_and_boxes_must_agree(tmp_path):
    imagenet_pictures(tmp_path, True)
    imagenet_boxes(tmp_path, True)
    (tmp_path / SYNSETS[65]).rename(tmp_path / SYNSETS[66])
    with pytest.raises(ValueError, match="lies in the folder of another class"):
        ImageNet(tmp_path)[0]
