"""A number never outlives what it was computed from: what decides rows names the run, what changed is refused."""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.records.loading import load_runs
from eval.records.rows import read_rows
from eval.running import job, source_code
from eval.running.config import load
from eval.running.job import Outcome, evaluate_job

NETWORK = """
import torch
from torch import nn

def small(n=2, shift=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, n))
"""
METHOD = """
import torch
from {helper} import corner

def explain(image, targets, classifier, checkpoint=None, root=None, subset=None, cache=None, download=None):
    where = open(checkpoint).read().strip() if checkpoint else root or subset or cache or download or corner()
    maps = torch.zeros(len(targets), 4, 4)
    maps[:, 0 if where[0] == "t" else 3, 0 if where[1] == "l" else 3] = 1
    return maps
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with one picture (cat top left, dog in the middle) and modules of a user's own, importable."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "data" / "images").mkdir(parents=True)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "data" / "images" / "p1.png")
    annotate(tmp_path / "data", [0, 0, 12, 12], [20, 10, 20, 20])
    return tmp_path


def annotate(folder: Path, cat: list[int], dog: list[int]) -> None:
    entries = [{"id": i, "image_id": 1, "category_id": i, "bbox": box} for i, box in ((1, cat), (2, dog))]
    content = {
        "images": [{"id": 1, "file_name": "p1.png", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": entries,
    }
    (folder / "annotations.json").write_text(json.dumps(content))


def modules(place: Path, name: str, corner: str) -> None:
    """A method in NAME.py that imports its corner from NAME_help.py, as if no process had imported it before."""
    fresh(name)
    (place / f"{name}.py").write_text(METHOD.format(helper=f"{name}_help"))
    (place / f"{name}_help.py").write_text(f"def corner():\n    return {corner!r}\n")
    (place / f"{name}_net.py").write_text(NETWORK)


def fresh(name: str) -> None:
    """As in a new process: the modules are imported, and their sources read, anew."""
    for known in (name, f"{name}_help", f"{name}_net"):
        sys.modules.pop(known, None)
    source_code._sources.cache_clear()
    job._memory.clear()


def start(place: Path, module: str, *overrides: str) -> Outcome:
    return evaluate_job(
        load([
            "dataset=folder", f"dataset.root={place / 'data'}", "dataset.name=d", "dataset.region=boxes",
            "method=custom", f"method.build._target_={module}.explain", f"method.name={module}", "model=custom",
            "model.name=tiny", f"model.build._target_={module}_net.small", "model.mean=[.5,.5,.5]",
            "model.std=[.5,.5,.5]",
            "model.layers.cam=['1']", "compare=false", "workers=0", "device=cpu", "protocol.input.side=32",
            f"results={place / 'results'}", *overrides,
        ])
    )  # fmt: skip


def folders(place: Path) -> set[str]:
    return {path.name for path in (place / "results" / "records").iterdir()}


def hits(outcome: Outcome) -> dict[str, bool]:
    return {row["label"]: row["inside"] for row in read_rows(outcome.folders[0])}


@pytest.mark.parametrize("name", ["root", "subset", "cache", "download"])
def test_no_name_of_an_argument_hides_it_from_the_identity(place, name):
    modules(place, "named", "tl")
    first, second = (start(place, "named", f"+method.build.{name}={value}") for value in ("tl", "br"))
    assert first.folders != second.folders
    assert hits(first) == {"cat": True, "dog": False}
    assert hits(second) == {"cat": False, "dog": False}


def test_a_file_that_a_setting_names_counts_by_its_content(place):
    modules(place, "learned", "tl")
    checkpoint = place / "weights.txt"
    seen = []
    for content in ("tl", "br", "tl"):
        checkpoint.write_text(content)
        seen.append(start(place, "learned", f"+method.build.checkpoint={checkpoint}"))
    assert hits(seen[0])["cat"]
    assert not hits(seen[1])["cat"]
    assert seen[0].folders == seen[2].folders != seen[1].folders
    assert seen[2].pairs == 0


@pytest.mark.parametrize("part", ["", "_help", "_net"])
def test_an_edit_of_the_users_own_code_is_another_run(place, part):
    modules(place, "edited", "tl")
    fresh("edited")
    first = start(place, "edited")
    assert start(place, "edited").pairs == 0
    path = place / f"edited{part}.py"
    path.write_text(path.read_text().replace("'tl'", "'br'") + "\n# edited\n")
    # The process goes on with what it has imported; what it writes is what that code gives.
    assert start(place, "edited").folders == first.folders
    fresh("edited")
    second = start(place, "edited")
    assert second.pairs == 2
    assert second.folders != first.folders
    assert hits(second)["cat"] == (part != "_help")


def test_code_that_cannot_be_read_is_said(place, capsys):
    modules(place, "hidden", "tl")
    fresh("hidden")
    import py_compile

    py_compile.compile(str(place / "hidden_help.py"), cfile=str(place / "hidden_help.pyc"))
    (place / "hidden_help.py").unlink()
    start(place, "hidden")
    assert "the code of hidden_help cannot be read" in capsys.readouterr().out


def test_rows_of_other_annotations_or_another_folder_are_refused_and_a_name_of_its_own_helps(place):
    modules(place, "stale", "tl")
    start(place, "stale")
    annotate(place / "data", [30, 20, 12, 12], [20, 10, 20, 20])
    fresh("stale")
    with pytest.raises(ValueError, match=r"picture p1, class cat, were made on other annotations.*dataset\.name=NAME"):
        start(place, "stale")
    assert hits(start(place, "stale", "dataset.name=e")) == {"cat": False, "dog": False}


def test_rows_of_another_picture_file_are_refused(place):
    modules(place, "pixels", "tl")
    start(place, "pixels")
    Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save(place / "data" / "images" / "p1.png")
    with pytest.raises(ValueError, match=r"picture file of p1, which the rows were made on, is another one now"):
        start(place, "pixels")


def test_ready_made_maps_count_by_their_content(place):
    maps = place / "maps" / "p1"
    maps.mkdir(parents=True)
    seen = []
    for spot in ((2, 2), (20, 30), (2, 2)):
        heat = np.zeros((40, 60))
        heat[spot] = 1
        for name in ("cat", "dog"):
            np.save(maps / f"{name}.npy", heat)
        cfg = load([
            "method=maps", f"method.folder={maps.parent}", "dataset=folder", f"dataset.root={place / 'data'}",
            "dataset.region=boxes", f"results={place / 'results'}",
        ])  # fmt: skip
        seen.append(evaluate_job(cfg))
    assert [hits(each) for each in seen[:2]] == [{"cat": True, "dog": False}, {"cat": False, "dog": True}]
    assert seen[0].folders == seen[2].folders != seen[1].folders


def test_layers_that_a_method_does_not_read_make_no_other_run(place):
    modules(place, "layered", "tl")
    common = ["method=gradcam", "method.name=g"]
    cfg = [
        "dataset=folder", f"dataset.root={place / 'data'}", "dataset.region=boxes", "model=custom", "model.name=tiny",
        "model.build._target_=layered_net.small", "model.mean=[.5,.5,.5]", "model.std=[.5,.5,.5]", "compare=false",
        "workers=0", "protocol.input.side=32", f"results={place / 'results'}",
    ]  # fmt: skip
    first, second, third = (
        evaluate_job(load([*cfg, *common, *more]))
        for more in (
            ["model.layers.cam=['1']"],
            ["model.layers.cam='1'", "model.layers.gpnncam=['0']"],
            ["model.layers.cam=['0']"],
        )
    )
    assert first.folders == second.folders != third.folders


def test_an_unreadable_annotation_leaves_its_cells_incomplete(place, capsys):
    from scripts.table import main as table

    folder = place / "voc"
    folder.mkdir()
    for name in ("p1", "p2"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / f"{name}.png")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>"
    size = "<size><width>60</width><height>40</height></size>"
    good = f"<annotation>{size}<object><name>cat</name>{box}</object></annotation>"
    (folder / "p1.xml").write_text(good)
    (folder / "p2.xml").write_text(good.replace("<width>60", "<width>none"))
    settings = ["method=center", "dataset=folder", f"dataset.root={folder}", "on_error=skip", f"results={place / 'r'}"]
    outcome = evaluate_job(load(settings))
    assert len(outcome.failed) == 1
    (run,), _ = load_runs(place / "r" / "records")
    assert run.info["unreadable"] == 1
    assert len(run.failures) == 1
    capsys.readouterr()
    assert table(["--records", str(place / "r" / "records"), "--resamples", "0"]) == 0
    assert "† 1 of 1 and 1 unreadable picture " in capsys.readouterr().out
    assert table(["--records", str(place / "r" / "records"), "--strict"]) == 1
    assert "1 annotation cannot be read" in capsys.readouterr().err


ROGUES = {
    "hook": "classifier.module('1').register_forward_hook(lambda *a: None)",
    "mode": "classifier.network.train()",
    "weight": "classifier.network[0].weight.data.mul_(-1)",
    "gradient": "classifier.network[0].weight.requires_grad_()",
    "forward": "classifier.network[1].forward = lambda x: -x",
    "gradient mode": "torch.set_grad_enabled(False)",
}


@pytest.mark.parametrize("what", ROGUES)
def test_a_method_that_changes_the_network_is_named_and_nobody_uses_that_network_again(place, what):
    import torch

    modules(place, "rogue", "tl")
    (place / "rogue.py").write_text(textwrap.dedent(f"""
        import torch
        def explain(image, targets, classifier):
            {ROGUES[what]}
            return torch.rand(len(targets), 4, 4)
    """))  # fmt: skip
    from eval.running.network_guard import Changed

    try:
        with pytest.raises(Changed, match=r"method d\.tiny\.rogue"):
            start(place, "rogue", "on_error=skip")
    finally:
        torch.set_grad_enabled(True)
    assert [row for folder in (place / "results/records").iterdir() for row in read_rows(folder)] == []
    modules(place, "clean", "tl")
    assert hits(start(place, "clean"))["cat"]


def test_a_method_that_writes_into_its_input_changes_no_row_but_its_maps(place):
    seen = {}
    for name, act in (("reads", ""), ("writes", "image.zero_(); targets.zero_()")):
        modules(place, name, "tl")
        (place / f"{name}.py").write_text(textwrap.dedent(f"""
            import torch
            def explain(image, targets, classifier):
                count = len(targets)
                {act or "pass"}
                return torch.eye(4)[None].repeat(count, 1, 1)
        """))  # fmt: skip
        (row, *_) = read_rows(start(place, name).folders[0])
        seen[name] = (row["score"], row["rank"], row["label"])
    assert seen["reads"] == seen["writes"]


def test_global_generators_of_numpy_and_python_are_seeded_by_picture(place):
    modules(place, "draws", "tl")
    (place / "draws.py").write_text(textwrap.dedent("""
        import random
        import numpy as np
        def explain(image, targets, classifier):
            return np.random.rand(len(targets), 4, 4) + random.random()
    """))  # fmt: skip
    one = read_rows(start(place, "draws").folders[0])
    two = read_rows(start(place, "draws", f"results={place / 'again'}").folders[0])
    assert [(row["x"], row["y"]) for row in one] == [(row["x"], row["y"]) for row in two]


def test_sys_exit_in_a_method_is_a_failure_of_its_picture(place):
    modules(place, "leaves", "tl")
    (place / "leaves.py").write_text("import sys\ndef explain(image, targets, classifier): sys.exit(0)\n")
    outcome = start(place, "leaves", "on_error=skip")
    assert outcome.pairs == 0
    assert "ended the program" in outcome.failed[0][1]


BAD_NETWORKS = {
    "a tuple": ("return y, y", "returns a tuple"),
    "a dict": ("return {'out': y}", r"returns a dict with 'out'"),
    "one dimension": ("return y[:, 0]", r"a tensor \(1,\)"),
    "three dimensions": ("return y[:, None]", r"a tensor \(1, 1, 2\)"),
    "a draw": ("return nn.functional.dropout(y, 0.5)", "two forward passes of one picture"),
    "a batch": ("return y - 10 * x.mean()", "without another one beside it"),
}


@pytest.mark.parametrize("what", BAD_NETWORKS)
def test_networks_whose_answers_are_no_property_of_the_picture_are_refused(place, what):
    act, words = BAD_NETWORKS[what]
    modules(place, "odd", "tl")
    (place / "odd_net.py").write_text(NETWORK.replace("def small", "def inner") + textwrap.dedent(f"""
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = inner()
            def forward(self, x):
                y = self.inner(x)
                {act}
        def small():
            return Odd()
    """))  # fmt: skip
    with pytest.raises(ValueError, match=f"model=tiny: .*{words}"):
        start(place, "odd", "model.layers.cam=['inner.1']")


def test_a_score_that_is_not_finite_is_an_error_of_its_picture(place):
    modules(place, "nans", "tl")
    (place / "nans_net.py").write_text(NETWORK.replace("return nn.Seq", "return nn.Sequential(nn.Seq").replace(
        "nn.Linear(8, n))", "nn.Linear(8, n)), Bad())") + textwrap.dedent("""
        class Bad(nn.Module):
            def forward(self, x):
                return x * float("nan")
    """))  # fmt: skip
    outcome = start(place, "nans", "on_error=skip", "model.layers.cam=['0.1']")
    assert outcome.pairs == 0
    assert "picture p1 (cat, dog)" in outcome.failed[0][1]
    assert "not finite" in outcome.failed[0][1]


def test_where_every_picture_within_the_limit_fails_they_are_named_and_none_is_drawn(tmp_path, capsys):
    from run import main

    (tmp_path / "void.py").write_text("def explain(image, targets, classifier):\n    return None\n")
    sys.path.insert(0, str(tmp_path))
    try:
        settings = [
            "method=custom",
            "method.build._target_=void.explain",
            "method.name=void",
            "compare=false",
            "limit=2",
        ]
        assert main([*settings, "on_error=skip", f"results={tmp_path / 'results'}"]) == 1
    finally:
        sys.path.remove(str(tmp_path))
    said = capsys.readouterr().err
    assert "2 pictures failed, without rows" in said
    assert said.count("must return maps") == 2


@pytest.mark.parametrize("name", ["a/b", "../../../esc", "größe", ".hidden", "a.b", "2024"])
def test_any_name_is_one_folder_that_tables_find(place, name):
    settings = ["method=center", "dataset=folder", f"dataset.root={place / 'data'}", "dataset.region=boxes"]
    (folder,) = evaluate_job(load([*settings, f"method.name='{name}'", f"results={place / 'r'}"])).folders
    assert folder.parent == place / "r" / "records"
    ((run,), bad) = load_runs(place / "r" / "records")
    assert (run.method, bad) == (name, [])


@pytest.mark.parametrize("value", ["null", "true", "''", "'a\x1b[2J'", "'" + "x" * 100 + "'"])
def test_what_is_no_name_is_refused(place, value):
    with pytest.raises(ValueError, match=r"method\.name must be"):
        evaluate_job(load(["method=center", f"method.name={value}", f"results={place}"]))


RUN_JSON = {
    "missing": None,
    "empty": "",
    "half": '{"schema": 2, "dataset"',
    "a list": "[]",
    "pairs null": {"pairs": None},
    "no provenance": {"provenance": ...},
    "an older version": {"schema": 1},
}


@pytest.mark.parametrize("what", RUN_JSON)
def test_what_cannot_be_read_is_named_with_a_remedy_and_hides_nothing_else(tmp_path, capsys, what):
    from scripts.table import main as table
    from tests.synthetic_runs import rows, write_run

    write_run(tmp_path, "gradcam", rows(20, 0.5))
    folder = write_run(tmp_path, "layercam", rows(20, 0.5))
    info, change = json.loads((folder / "run.json").read_text()), RUN_JSON[what]
    if change is None:
        (folder / "run.json").unlink()
    elif isinstance(change, str):
        (folder / "run.json").write_text(change)
    else:
        info |= change
        (folder / "run.json").write_text(json.dumps({name: value for name, value in info.items() if value is not ...}))
    assert table(["--records", str(tmp_path / "records"), "--resamples", "0"]) == 0
    out, err = capsys.readouterr()
    assert "GRADCAM" in out
    assert "LAYERCAM" not in out
    assert f"left out: {folder.name}" in err
    assert "remove" in err


@pytest.mark.parametrize(
    "change", [{"inside": "false"}, {"inside": None}, {"inside": ...}, {"distance": -1.0}, {"energy": 2}, {"rank": 0.5}]
)
def test_an_edited_row_counts_nowhere(tmp_path, capsys, change):
    from scripts.table import main as table
    from tests.synthetic_runs import rows, write_run

    write_run(tmp_path, "gradcam", rows(20, 0.5))
    folder = write_run(tmp_path, "layercam", rows(20, 0.5))
    lines = (folder / "rows.jsonl").read_text().splitlines()
    row = json.loads(lines[3]) | change
    lines[3] = json.dumps({name: value for name, value in row.items() if value is not ...})
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    assert table(["--records", str(tmp_path / "records"), "--resamples", "0"]) == 0
    out, err = capsys.readouterr()
    assert "LAYERCAM" not in out
    assert next(iter(change)) in err
    assert row["key"] in err


def test_a_row_with_one_field_twice_counts_nowhere(tmp_path, capsys):
    """JSON's parsers keep the last one without a word."""
    from scripts.table import main as table
    from tests.synthetic_runs import rows, write_run

    write_run(tmp_path, "gradcam", rows(20, 0.5))
    folder = write_run(tmp_path, "layercam", rows(20, 0.5))
    text = (folder / "rows.jsonl").read_text()
    (folder / "rows.jsonl").write_text(text.replace('"inside": false', '"inside": false, "inside": true', 1))
    assert table(["--records", str(tmp_path / "records"), "--resamples", "0"]) == 0
    out, err = capsys.readouterr()
    assert "LAYERCAM" not in out
    assert "'inside' stands twice" in err


def test_the_n_of_a_top_k_value_is_its_own(tmp_path, capsys):
    from scripts.table import main as table
    from tests.synthetic_runs import rows, write_run

    content = rows(60, 0.5, 1)
    write_run(tmp_path, "gradcam", content[:40], pairs_in_all={"all": len(content), "diff": 1})
    assert table(["--records", str(tmp_path / "records"), "--top-k", "1", "--subset", "all", "--resamples", "0"]) == 0
    text = capsys.readouterr().out
    top = sum(row["rank"] < 1 for row in content[:40])
    assert f"† {top}, from 40 of {len(content)} rows" in text
    assert f"≥ {top}" in text


@pytest.mark.parametrize("label", ["=cmd()", "+1", "-1", "@x", "\x1b[31mred", "日本 \\ & % $ # _ { } ~ ^ < > …"])
def test_labels_harm_no_format(tmp_path, capsys, label):
    from scripts.table import main as table
    from tests.synthetic_runs import rows, write_run

    folder = write_run(tmp_path, "gradcam", rows(20, 0.5))
    info = json.loads((folder / "run.json").read_text()) | {"label": label}
    (folder / "run.json").write_text(json.dumps(info))
    for form in ("markdown", "csv", "latex", "html"):
        assert table(["--records", str(tmp_path / "records"), "--resamples", "0", "--format", form]) == 0
        text = capsys.readouterr().out
        assert "\x1b" not in text
        if form == "csv" and label[0] in "=+-@":
            assert f"'{label}" in text
        if form == "latex":
            assert text.isascii()
