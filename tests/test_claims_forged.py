"""Every forgery that a claim's rows or known facts betray, each by a careful forger; on the first 300 pictures."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from eval.claims import claim, folder
from eval.claims.checking import twice
from eval.files.places import ROOT
from eval.records import observations
from eval.records.rows import Rows
from scripts.claim import make, verify
from tests.claim_cases import (
    AUTHOR,
    claimable,
    copied,
    faults,
    few_known,
    lines,
    made,
    packed,
    resealed,
    verified,
    voc_claim,
    voc_rows,
)
from tests.synthetic_runs import write_run


@pytest.fixture(scope="module", autouse=True)
def _few():
    with few_known():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return voc_claim(tmp_path_factory.mktemp("claim"))


def edited(name, value, at=5):
    def change(frame):
        frame.loc[at, name] = value(frame.loc[at, name]) if callable(value) else value
        return frame

    return change


def missed(frame):
    """The first row whose point lies outside, as another one."""
    at = int(np.flatnonzero(~frame["inside"])[0])
    frame.loc[at, ["inside", "distance"]] = True, 0.0
    return frame


def without_misses(frame):
    return frame[frame["inside"]]


def counts_as(number):
    def change(info):
        info["pairs"] = number

    return change


def scores_of(**changes):
    def change(said):
        said["scores"][0] |= changes

    return change


def input_of(protocol):
    def change(info):
        info["protocols"] = [yaml.safe_load((ROOT / f"conf/protocol/{protocol}.yaml").read_text())]

    return change


def relabelled(info):
    info["identity"]["method"]["build"]["relu"] = True


def chosen(**changes):
    def change(said):
        said["chosen"] |= changes

    return change


def nearer(frame):
    return frame.assign(distance=frame["distance"].where(frame["inside"], 1.0))


def wider(frame):
    return frame.assign(width=frame["width"] + (frame["key"] == frame["key"][5]))


def other_file(frame):
    return frame.assign(picture=frame["picture"].where(frame["key"] != "000018", "f" * 16))


def renamed(info):
    info["method"] = info["identity"]["method"]["name"] = "mine"


def other_code(info):
    info["identity"]["method"]["build"]["_target_"] = "mine.explain"


def says(**changes):
    return lambda said: said.update(changes)


def edit(**files):
    return files


FORGERIES = {
    "failed pairs left out": (edit(rows=without_misses), ["of 220 pairs", "has no row", "claim.yaml says n"]),
    "and the number of pairs with them": (
        edit(rows=without_misses, run=counts_as({"all": 162, "diff": 62})),
        ["has no row, of 220 pairs"],
    ),
    "only easy pictures": (
        edit(rows=lambda f: f[f["area"] > 0.3], run=counts_as({"all": 90, "diff": 0})),
        ["has no row, of 220 pairs"],
    ),
    "a hit by word alone": (edit(rows=missed), ["the row was edited, its point lies outside"]),
    "a distance": (edit(rows=nearer), ["its distance is another"]),
    "inside against its distance": (edit(rows=edited("inside", lambda v: not v)), ["contradict each other"]),
    "another region": (edit(rows=edited("region", "0" * 16)), ["the region is another one, so boxes or masks"]),
    "another picture size": (edit(rows=wider), ["the picture has another size"]),
    "another picture file": (edit(rows=other_file), ["the picture file is another one: 000018"]),
    "another subset": (edit(rows=edited("difficult", lambda v: not v)), ["the difficult subset is another one"]),
    "a pair that there is not": (edit(rows=edited("label", "zebra", at=219)), ["is no pair of it", "has no row"]),
    "a score": (edit(claim=scores_of(value=0.9)), ["claim.yaml says value 0.9, the rows give"]),
    "an interval from another resampling": (edit(claim=scores_of(low=0.795001)), ["claim.yaml says low 0.795001"]),
    "another protocol's name": (
        edit(claim=scores_of(protocol="torchray")),
        ["does not state hit under paper", "states hit under torchray on all, which these rows do not give"],
    ),
    "another protocol's input": (edit(run=input_of("torchray")), ["another input than protocol torchray prescribes"]),
    "settings behind a label": (edit(run=relabelled), ["from its label: 'GradCAM' is 'GradCAM [relu=true]'"]),
    "another method's label": (edit(run=renamed), ["the method 'mine' has the label 'GradCAM', which is another"]),
    "incomplete and called complete": (edit(rows=lambda f: f[f["key"] > "000100"]), ["says that it is complete"]),
    "complete and called partial": (edit(claim=says(partial=True)), ["says that it is partial"]),
    "pictures looked at that are reported": (
        edit(claim=chosen(looked_at="other", keys=["000001", "000002"])),
        ["and names 2 reported ones"],
    ),
    "code that is not named": (
        edit(run=other_code),
        ["says that the code is built in, run.json names", "mine.explain"],
    ),
    "a field too many": (edit(claim=says(rank=1)), ["claim.yaml has fields too many or too few: ['rank']"]),
    "a field of another kind": (edit(claim=says(partial="no")), ["partial is 'no', of another kind"]),
    "a number that is none": (edit(claim=scores_of(value=float("nan"))), ["value is nan, no finite number"]),
    "letters that steer a terminal": (edit(claim=says(author="A\x1b[2J")), ["printable characters, not 'A\\x1b[2J'"]),
    "an address that is a script": (edit(claim=says(url="javascript:alert(1)")), ["no address on the web"]),
    "such letters in rows": (edit(rows=edited("label", "ca\u202et")), ["as label, which no terminal should print"]),
    "such letters in run.json": (edit(run=lambda i: i.update(label="x\x07")), ["no terminal should print"]),
    "NaN in a row": (edit(rows=edited("x", float("nan"))), ["as x (of the point, original pixels from the left)"]),
    "a value out of its range": (edit(rows=edited("energy", 1.5)), ["1.5 as energy"]),
    "an order of its own": (edit(rows=lambda f: f.iloc[::-1]), ["no canonical order"]),
    "a pair twice": (edit(rows=lambda f: f.loc[[0, 0, *range(2, len(f))]]), ["twice"]),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_careful_forgery_is_named(what, place, tmp_path, capsys):
    changes, words = FORGERIES[what]
    status, report = verified(capsys, resealed(place, tmp_path, **changes))
    assert status == 1
    assert report["claims"][0]["verdict"] == "does not hold"
    for word in words:
        assert any(word in text for text in faults(report)), faults(report)


def table_of(place):
    return parquet.read_table(place / "rows.parquet")


TABLES = {
    "a column more": (
        lambda t: t.append_column("note", pa.array(["x"] * len(t))),
        "other columns than a claim's: 'note'",
    ),
    "a column less": (lambda t: t.drop_columns(["x"]), "other columns than a claim's: 'x'"),
    "another type": (
        lambda t: t.set_column(7, "area", t["area"].cast(pa.string())),
        "has area as string, not as double",
    ),
    "no row": (lambda t: t.slice(0, 0), "says that it has 0 rows"),
    "fewer than there are times": (lambda t: t.slice(0, 10), "times.parquet has 220 lines, rows.parquet 10"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_parquet_file_of_another_form_is_refused_before_its_rows_are_read(what, place, tmp_path, capsys):
    change, words = TABLES[what]
    status, report = verified(capsys, resealed(place, tmp_path, rows=packed(change(table_of(place)))))
    assert (status, len(faults(report))) == (1, 1)
    assert words in faults(report)[0]


def test_counts_beyond_reason_are_refused_by_the_head_alone(place, tmp_path, monkeypatch, capsys):
    from eval.claims import rows_file

    def never(*_):
        raise AssertionError("the rows were read")

    for name, value, words in (
        ("MOST_ROWS", 200, "says that it has 220 rows"),
        ("BYTES_A_ROW", -(1 << 14), "220 rows have"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(rows_file, name, value)
            patched.setattr(rows_file.columnar, "frame", never)
            status, report = verified(capsys, place)
            assert (status, len(faults(report))) == (1, 1)
            assert words in faults(report)[0]
    status, report = verified(capsys, resealed(place, tmp_path, rows=b"PAR1 and no more"))
    assert "rows.parquet is no readable Parquet" in faults(report)[0]


def spoilt(place, tmp_path, what):
    """A copy of the claim with one thing wrong in its folder."""
    copy = copied(place, tmp_path / "copy")
    if what == "edited":
        (copy / "environment.txt").write_text("another machine\n")
    elif what == "cut":
        (copy / "times.parquet").unlink()
    elif what == "renamed":
        copy = copy.rename(copy.with_name("pascal.vgg16.better.0123456789abcdef"))
    elif what == "a file beside":
        (copy / "notes.txt").write_text("x")
    elif what == "a name for a page":
        (copy / "<b>.txt").write_text("x")
    elif what == "a link to a file":
        (copy / "environment.txt").unlink()
        (copy / "environment.txt").symlink_to(ROOT / "LICENSE")
    elif what == "a link to a folder":
        (copy / "verdicts").symlink_to(ROOT / "conf")
    elif what == "a link instead of the claim":
        link = tmp_path / "link" / copy.name
        link.parent.mkdir()
        link.symlink_to(copy)
        copy = link
    elif what == "a path out":
        text = (copy / folder.SUMS).read_text()
        (copy / folder.SUMS).write_text(text + f"{'0' * 64}  ../../secret\n")
    elif what == "too large":
        (copy / "environment.txt").write_bytes(b"x" * ((1 << 20) + 1))
    elif what == "a pipe":
        (copy / "environment.txt").unlink()
        os.mkfifo(copy / "environment.txt")
    return copy


FOLDERS = {
    "edited": "environment.txt was edited", "cut": "has no times.parquet", "renamed": "it was renamed, or edited since",
    "a file beside": "the file notes.txt is none of a claim's", "a name for a page": "the file name '<b>.txt' is none",
    "a link to a file": "environment.txt is a link", "a link to a folder": "verdicts is a link",
    "a link instead of the claim": "is a link; a claim is a folder",
    "a path out": "'../../secret' is listed in SHA256SUMS and not there", "too large": "more than 1,048,576 bytes",
    "a pipe": "environment.txt is no plain file",
}  # fmt: skip


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_that_is_no_claim_is_named(what, place, tmp_path, capsys):
    status, report = verified(capsys, spoilt(place, tmp_path, what))
    assert status == 1
    assert any(FOLDERS[what] in text for text in faults(report)), faults(report)


def test_a_yaml_file_that_grows_is_refused(place, tmp_path, capsys):
    text = (
        (place / "claim.yaml").read_bytes().replace(b"paper: ''", b"paper: &a text").replace(b"text: ''", b"text: *a")
    )
    status, report = verified(capsys, resealed(place, tmp_path, claim=text))
    assert status == 1
    assert "aliases" in faults(report)[0]
    text = (place / "claim.yaml").read_bytes().replace(b"author: A. Author", b"author: !!python/name:os.system")
    assert "no readable YAML" in faults(verified(capsys, resealed(place, tmp_path, claim=text))[1])[0]


def test_what_was_looked_at_is_marked_and_allowed(tmp_path, capsys):
    made_ = voc_claim(tmp_path, more=["--author", "A", "--looked-at", "same", "all of it", "--tried", "40"])
    status, report = verified(capsys, made_)
    assert status == 0
    assert ("mark", "pictures were used for choosing settings and for reporting alike") in lines(report, "whole")


def test_a_papers_other_number_stands_beside_ours(tmp_path, capsys):
    status, report = verified(capsys, voc_claim(tmp_path, more=[*AUTHOR, "--stated", "paper", "all", "hit", "0.9"]))
    assert status == 0
    assert any(what == "mark" and "the paper states 0.9" in text for what, text in lines(report, "recomputed"))


def test_one_run_claimed_twice_is_named(place, tmp_path, capsys):
    again = resealed(place, tmp_path, claim=lambda said: said.update(author="B. Other"))
    assert again.name != place.name
    status, report = verified(capsys, place, again)
    assert status == 1
    assert "claim the same run, with the same points" in faults(report)[0]
    other = resealed(place, tmp_path, run=lambda info: info["identity"].update(seed=1))
    (what, text) = twice([claim.load(place), claim.load(other)])[0]
    assert (what, "on every pair" in text) == ("mark", True)
    mixed = resealed(place, tmp_path / "mixed", rows=lambda f: f.assign(x=f["x"] + (f.index == 0)))
    assert "with other points: one of them does not hold" in twice([claim.load(place), claim.load(mixed)])[0][1]


def test_an_incomplete_run_is_refused_or_says_so(tmp_path, capsys):
    rows = voc_rows(0.7)
    run = write_run(tmp_path, "mine", rows[:-3], pairs_in_all={"all": len(rows), "diff": len(rows)})
    (run / "failures.jsonl").write_text(json.dumps({"key": rows[-1]["key"], "error": "it is too\x1b dark"}) + "\n")
    claimable(run, "mine")
    assert make.main([str(run), "--out", str(tmp_path / "claims"), *AUTHOR]) == 1
    assert "it holds 217 of 220 pairs" in capsys.readouterr().err
    status, report = verified(capsys, made(run, tmp_path / "claims", [*AUTHOR, "--partial"]))
    assert status == 0, faults(report)
    assert next(text for what, text in lines(report, "whole") if what == "mark").startswith("partial: 217 of 220 pairs")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--author", "", "--looked-at", "nothing"], "does not say author"),
        (["--author", "A", "--looked-at", "few"], "looked at must be nothing, other, same"),
        (["--author", "A", "--looked-at", "nothing", "--tried", "3"], "nobody chooses among several"),
        (["--author", "A", "--looked-at", "nothing", "--code", "https://host/x"], "https://HOST/NAME@COMMIT"),
    ],
)
def test_what_an_author_must_say(arguments, words, tmp_path, capsys):
    assert make.main(["nowhere", "--out", str(tmp_path), *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_verdict_lies_beside_the_claim_and_changes_nothing(place, tmp_path, capsys):
    copy = copied(place, tmp_path)
    assert verify.main([str(copy), "--verdict", "one-of-us"]) == 0
    assert verify.main([str(copy), "--verdict", "one-of-us"]) == 0
    text = json.loads((copy / "verdicts/one-of-us.json").read_text())
    assert (text["claim"], text["verdict"], text["holds"]) == (folder.read(place).digest, "recomputed", True)
    assert str(tmp_path) not in json.dumps(text)
    assert verify.main([str(copy), "--verdict", "../x"]) == 1
    assert "is no name of a verdict" in capsys.readouterr().err


def test_what_measures_observed_is_claimed_and_recomputed(tmp_path, capsys):
    run = claimable(write_run(tmp_path / "run", "mine", voc_rows(0.7)), "mine")
    settings = yaml.safe_load((ROOT / "conf/measure/deletion.yaml").read_text())
    part = {"name": "deletion", "version": 1, "build": settings}
    beside = observations.folder(run, part, None)
    observations.describe(beside, part, None, ["step", "curve"], "cpu")
    lines_ = [{name: row[name] for name in ("key", "label", "x", "y")} for row in voc_rows(0.7)[1:]]
    with Rows(beside) as out:
        out.append(
            [line | {"seconds": 0.5, "forwards": 3.0, "step": 0.5, "curve": [1.0, 0.5, 0.25]} for line in lines_]
        )
    place = made(run, tmp_path / "claims")
    status, report = verified(capsys, place)
    assert (status, report["claims"][0]["verdict"]) == (0, "recomputed"), faults(report)
    said = claim.load(place).said.scores
    assert {(each["measure"], each["n"]) for each in said if each["subset"] == "all"} == {
        ("hit", 220),
        ("deletion", 219),
    }

    def steeper(frame):
        column = next(name for name in frame if name.startswith("measure."))
        frame[column] = [each and each | {"curve": [1.0, 0.0, 0.0]} for each in frame[column]]
        return frame

    texts = faults(verified(capsys, resealed(place, tmp_path, rows=steeper))[1])
    assert any(text.startswith("deletion under paper on all: claim.yaml says value") for text in texts), texts
