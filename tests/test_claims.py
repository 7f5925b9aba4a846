"""Claims on all of VOC2007 test: made and verified without data, without torch, in a second or two."""

import hashlib
import lzma
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from pyarrow import parquet

from eval.claims import data, folder
from eval.datasets import known
from eval.files.places import ROOT
from scripts.claim import show
from tests.claim_cases import VOC, faults, lines, resealed, verified, voc_claim


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
    found = known.known(VOC).pairs
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
    assert known.digest(lines_) == known.known(VOC).digest
    assert sum(path.stat().st_size for path in known.FOLDER.glob("*.parquet")) < 300_000


def test_a_set_of_which_a_digest_alone_is_known_agrees_as_a_whole(place, tmp_path, capsys, monkeypatch):
    whole = known.known(VOC)
    monkeypatch.setattr(known, "known", lambda _: known.Known(whole.name, whole.count, whole.digest, {}))
    assert "by their digest" in lines(verified(capsys, place)[1], "data")[-1][1]
    status, report = verified(capsys, resealed(place, tmp_path, rows=lambda f: f.assign(region="0" * 16)))
    assert status == 1
    assert any("are not about known pairs of VOC2007 test" in text for text in faults(report))


def test_a_method_that_reads_no_picture_names_no_picture_file():
    there = data.shipped(VOC)
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
