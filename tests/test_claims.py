"""Claims on all of VOC2007 test: made and verified without data, without torch, in a second or two."""

import gzip
import hashlib
import json
import lzma
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from pyarrow import parquet

from eval.claims import claim, data, folder
from eval.datasets import known
from eval.files.places import ROOT
from eval.networks.class_map import imagenet_classes
from scripts.claim import known as entry
from scripts.claim import show
from tests.claim_cases import PASCAL, faults, lines, resealed, verified, voc_claim

IMAGENET = {"_target_": "eval.datasets.imagenet.ImageNet"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return voc_claim(tmp_path_factory.mktemp("claim"))


def test_a_claim_is_small_and_holds_without_data(place, capsys):
    status, report = verified(capsys, place)
    assert (status, report["holds"], report["claims"][0]["verdict"]) == (0, True, "recomputed")
    words = "known pairs of VOC2007 test (regions and sizes of all, picture files of"
    assert f"7,013 pairs are those of {words}" in lines(report, "data")[-1][1]
    assert sum(path.stat().st_size for path in place.iterdir()) < 1_000_000
    said = yaml.safe_load((place / "claim.yaml").read_text())
    assert [(each["subset"], each["n"]) for each in said["scores"]] == [("all", 7013), ("diff", 2230)]
    rows = parquet.read_table(place / "rows.parquet").to_pandas()
    assert said["scores"][0]["value"] == round(rows["inside"].mean(), 6)
    assert show.main([str(place)]) == 0
    assert "GradCAM on pascal" in capsys.readouterr().out


def test_digests_are_those_of_sha256sum(place):
    done = subprocess.run(["sha256sum", "-c", "--quiet", folder.SUMS], cwd=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert place.name.endswith(folder.read(place).digest)


def test_verifying_without_a_rerun_imports_no_torch(place):
    code = (
        "import sys; from scripts.claim.verify import main; status = main(sys.argv[1:]); "
        "print(sorted({'torch', 'hydra'} & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_known_pairs_are_those_of_the_boxes_that_the_tests_hold():
    """A second reading of the same annotations, box by box."""
    text = lzma.decompress((ROOT / "tests/voc2007_test_boxes.txt.xz").read_bytes()).decode()
    found = known.known(PASCAL).pairs
    counted = {}
    for line in text.splitlines()[1:]:
        head, *objects = line.split(";")
        key, width, height = head.split()
        for each in objects:
            label, *box, hard = each.split()
            x0, y0, x1, y1 = map(int, box)
            counted.setdefault((key, label), [set(), False, (int(width), int(height))])
            counted[key, label][0].add((x0 - 1, y0 - 1, x1, y1))
            counted[key, label][1] |= hard == "0"
    pairs = {pair: (boxes, size) for pair, (boxes, asked, size) in counted.items() if asked}
    wrong = [
        pair
        for pair in pairs.keys() & found.keys()
        if pairs[pair][0] != set(map(tuple, found[pair].region.boxes.tolist()))
    ]
    assert wrong == []
    for pair, (boxes, size) in pairs.items():
        content = repr((True, size)).encode() + np.array(sorted(boxes), "<i8").tobytes()
        assert hashlib.sha256(content).hexdigest()[:16] == found[pair].region.digest
    assert pairs.keys() == found.keys()
    assert all(found[pair].size == size for pair, (_, size) in pairs.items())
    assert sum(pair.difficult for pair in found.values()) == 2230
    lines_ = [(*pair, *each.size, each.difficult, each.region.digest) for pair, each in found.items()]
    assert known.digest(known.texts(lines_)) == known.known(PASCAL).digest
    assert sum(path.stat().st_size for path in known.FOLDER.glob("*.parquet")) < 300_000


def by_digest(monkeypatch, marked: bool) -> None:
    """The project knows digests of VOC2007 test alone."""
    whole = known.known(PASCAL)
    lines_ = known.texts((*pair, *each.size, each.difficult, each.region.digest) for pair, each in whole.pairs.items())
    marks = frozenset(map(known.mark, lines_)) if marked else None
    less = known.Known(whole.name, whole.count, whole.digest, {}, marks)
    monkeypatch.setattr(known, "known", lambda _: less)


@pytest.mark.parametrize("marked", [True, False])
def test_a_set_of_which_digests_alone_are_known_agrees_as_a_whole(marked, place, tmp_path, capsys, monkeypatch):
    by_digest(monkeypatch, marked)
    assert "7,013 by digests: no hits, distances" in lines(verified(capsys, place)[1], "data")[-1][1]
    status, report = verified(capsys, resealed(place, tmp_path, rows=lambda f: f.assign(region="0" * 16)))
    assert status == 1
    assert any("are not about all 7,013 pairs of VOC2007 test" in text for text in faults(report))
    fewer = resealed(place, tmp_path, rows=lambda f: f[:100], run=lambda i: i.update(pairs={"all": 100, "diff": 99}))
    assert any("it holds 100 of 7,013 pairs" in text for text in faults(verified(capsys, fewer)[1]))


@pytest.mark.parametrize("marked", [True, False])
def test_of_a_part_is_said_what_digests_can_tell(marked, place, tmp_path, capsys, monkeypatch):
    by_digest(monkeypatch, marked)

    def part(frame):
        return frame[:100]

    def altered(frame):
        return frame[:100].assign(region=frame["region"].where(frame.index != 7, "0" * 16))

    def partial(said):
        said.update(partial=True)

    said = lines(verified(capsys, resealed(place, tmp_path, rows=part, claim=partial))[1], "data")
    wrong = lines(verified(capsys, resealed(place, tmp_path, rows=altered, claim=partial))[1], "data")
    if marked:
        assert [(what, text[:47]) for what, text in said] == [
            ("holds", "100 pairs are those of known pairs of VOC2007 t")
        ]
        assert [(what, text[:36]) for what, text in wrong] == [("fails", "1 pair: is no pair of it, or has ano")]
        return
    note = "100 pairs: only a digest of all 7,013 is known, which says nothing of a part"
    assert said == wrong == [("note", note)]


def test_of_pictures_that_lie_here_more_is_known_than_digests(place, monkeypatch):
    whole, rows = known.known(PASCAL), claim.load(place).run.rows
    info = {"identity": {"method": {}, "model": None, "dataset": PASCAL}, "pairs": {"all": 7013, "diff": 2230}}
    few = {pair: each for pair, each in whole.pairs.items() if pair[0] <= "000050"}
    by_digest(monkeypatch, True)
    there = replace(data.shipped(PASCAL), pairs=few)
    assert data.disagreements(rows, there, info) == []
    assert data.compared(rows, there) == (7013, f"{7013 - len(few):,} by digests: no hits, distances and picture files "
                                          "of these")  # fmt: skip
    edited = rows.assign(distance=rows["distance"] + ~rows["inside"])
    assert "its distance is another one" in data.disagreements(edited, there, info)[0]
    assert data.count(info) == 7013
    some = info["identity"] | {"model": {"outputs": [[0], []]}}
    assert data.count(info | {"identity": some, "pairs": {"all": 9, "diff": 0}}) == 9, "who knows which classes"


def test_known_pairs_of_ilsvrc_are_those_of_its_boxes():
    """A second reading of the same annotations, in their order."""
    path = ROOT.parent / "shared/data/ilsvrc_val/boxes.json.gz"
    if not path.is_file():
        pytest.skip("the boxes of ILSVRC2012 val do not lie here")
    found, names = known.known({"name": "imagenet", "build": IMAGENET}), list(imagenet_classes().values())
    assert known.known({"name": "mine", "build": IMAGENET}) is None, "pictures of one's own in the same layout"
    texts = []
    for number, width, height, label, boxes in json.loads(gzip.decompress(path.read_bytes()))["images"]:
        ends = [(max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height)) for x0, y0, x1, y1 in boxes]
        content = repr((True, (width, height))).encode() + np.array(sorted(set(ends)), "<i8").tobytes()
        region = hashlib.sha256(content).hexdigest()[:16]
        texts.append(f"ILSVRC2012_val_{number}\t{names[label]}\t{width}\t{height}\t0\t{region}")
    assert len(texts) == found.count == 50_000
    assert found.digest == hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:16]
    assert {int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) // 4 for text in texts} == found.marks


def test_an_entry_is_made_from_data_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(known, "FOLDER", tmp_path)
    settings = ["dataset=demo", "dataset.build.count=6", "dataset.name=mine"]
    assert entry.main([*settings, "--marks", "mine.parquet"]) == 0
    (said,) = yaml.safe_load(capsys.readouterr().out)
    assert entry.main(settings) == 0
    assert yaml.safe_load(capsys.readouterr().out) == [{n: v for n, v in said.items() if n != "marks"}]
    monkeypatch.setattr(known, "_index", lambda: {"data": [said]})
    found = known.known({"name": "mine", "build": said["build"]})
    assert (found.count, len(found.marks), found.pairs) == (said["pairs"], said["pairs"], {})
    assert known.known({"name": "mine", "build": said["build"] | {"count": 7}}) is None


def test_a_method_that_reads_no_picture_names_no_picture_file():
    there = data.shipped(PASCAL)
    (picture, label), pair = next((key, pair) for key, pair in there.pairs.items() if pair.picture is not None)
    row = {
        "key": picture, "label": label, "width": pair.size[0], "height": pair.size[1], "difficult": pair.difficult,
        "region": pair.region.digest, "picture": None, "area": pair.region.area / (pair.size[0] * pair.size[1]),
        "x": 0.0, "y": 0.0, "inside": pair.region.distance(0, 0) == 0, "distance": pair.region.distance(0, 0),
    }  # fmt: skip
    for blind, said in ((True, []), (False, ["the picture file is another one"])):
        info = {"identity": {"method": {"blind": blind}, "model": None}, "pairs": {"all": 1, "diff": 0}}
        found = data.disagreements(pd.DataFrame([row]), there, info, partial=True)
        assert [text.split(": ")[1] for text in found] == said
