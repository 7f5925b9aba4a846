"""A measure shows the network the protocol's input whatever the method looks at, or its own where a setting says so."""

import numpy as np
import pytest
import torch

from eval.game.protocol import Input
from eval.game.region import Region
from eval.measures.measure import Case
from eval.measures.road import ROAD
from eval.measures.stability import MaxSensitivity
from eval.records.loading import load_run, readable
from eval.records.observations import written
from eval.running import job
from eval.running import plan as planning
from eval.running.build import build_method
from eval.running.config import load
from eval.running.job import evaluate_job, prepare_classifier, prepare_dataset
from eval.running.method_call import call, seed_for
from tests.voc_devkit import random_annotations, write

HR = [
    "method=gpnncam_hr", "method.build.sides=[48,64]", "method.input.side=64", "protocol.input.side=48", "limit=2",
    "compare=false", "device=cpu", "workers=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """(records' one run, its observations by the input's side)."""
    results = tmp_path_factory.mktemp("input")
    wanted = "measure=[road,stability,randomisation]"
    evaluate_job(load([*HR, wanted, "measure.stability.seeds=1", "measure.randomisation.most=1", f"results={results}"]))
    evaluate_job(load([*HR, "measure=road", "measure.road.input={side: 64}", f"results={results}"]))
    (run,) = (load_run(path) for path in (results / "records").iterdir())
    return run


def by_hand(side: int) -> dict[tuple[str, str], dict]:
    """ROAD of the method's map, made at 64 pixels, on the picture at `side`."""
    cfg = load(HR)
    dataset, planned = prepare_dataset(cfg)
    classifier = prepare_classifier(cfg, dataset.classes)
    method = build_method(cfg.method, classifier, dataset.classes)
    expected = {}
    for index, sample, pairs in planned.entries:
        if index >= 2:
            continue
        seed, targets = seed_for(0, sample.key), [pair.label for pair in pairs]
        maps = call(method, Input(side=64).pixels(sample.image), torch.tensor(targets), seed).double().numpy()
        image, region = Input(side=side).pixels(sample.image), Region.from_boxes(np.array([[0, 0, 1, 1]]), sample.size)
        cases = [
            Case(region, sample.size, (0.0, 0.0), None, grid, image, target, classifier, None, seed)
            for grid, target in zip(maps, targets, strict=True)
        ]
        for target, fields in zip(targets, ROAD().observe(cases), strict=True):
            expected[sample.key, dataset.classes[target]] = fields
    return expected


@pytest.mark.parametrize("side", [48, 64])
def test_the_network_sees_the_input_of_the_protocol_or_of_the_measure(observed, side):
    (road,) = [each for each in observed.observations if each.name == "road" and ("input" in each.part) == (side == 64)]
    assert road.part.get("input") == (None if side == 48 else {"side": 64})
    expected = by_hand(side)
    assert len(road.lines) == len(expected)
    for line in road.lines.to_dict("records"):
        fields = expected[line["key"], line["label"]]
        for name in ("whole", "most", "least"):
            assert line[name] == pytest.approx(fields[name], rel=1e-4)
    # One whole picture and eight of each class, counted in pictures of the protocol's size.
    for _, lines in road.lines.groupby("key"):
        assert lines["forwards"].sum() == pytest.approx((1 + 8 * len(lines)) * (side / 48) ** 2)


def test_numbers_of_two_inputs_share_no_name(observed):
    roads = [each for each in observed.observations if each.name == "road"]
    assert len(roads) == len({written(each.part) for each in roads}) == 2


def test_a_method_that_is_called_again_gets_its_own_input(observed):
    by_name = {each.name: each for each in observed.observations}
    still = by_name["stability"].lines
    # Nothing is drawn: the same picture again has the same point; the protocol's picture would have another map.
    assert (still["xs"].str[0] == still["x"]).all()
    assert (still["ys"].str[0] == still["y"]).all()
    assert [line[0] for line in by_name["randomisation"].lines["spearman"]] == [pytest.approx(1)] * len(still)


def test_noise_is_laid_on_what_the_method_was_given():
    seen = []

    def method(image, targets, seed):
        seen.append(tuple(image.shape))
        return np.ones((len(targets), 2, 2))

    region = Region.from_boxes(np.array([[0, 0, 1, 1]]), (8, 8))
    case = Case(region, (8, 8), (0, 0), None, np.eye(2), torch.zeros(3, 4, 4), 0, None, method, 1, torch.zeros(3, 6, 6))
    MaxSensitivity(draws=2).observe([case])
    assert seen == [(3, 6, 6)] * 2


SEEING = ["dataset=pascal", "dataset.name=mine", "workers=0", "model.variant=demo", "protocol.input.side=32",
          "compare=false", "method=gradcam", "device=cpu"]  # fmt: skip


@pytest.fixture
def devkit(tmp_path, monkeypatch):
    """A run of four pictures; the settings that continue it."""
    root = write(tmp_path, random_annotations(4, seed=1))
    settings = [*SEEING, f"dataset.root={root}", f"results={tmp_path / 'results'}"]
    evaluate_job(load(settings))
    monkeypatch.setattr(planning, "COMPARED", 0)  # more pictures than are compared before anything is measured
    return root / "VOC2007", settings


def test_a_picture_that_was_exchanged_is_not_measured_and_what_fails_is_not_counted(devkit):
    place, settings = devkit
    pictures = sorted((place / "JPEGImages").glob("*.jpg"))
    pictures[1].write_bytes(pictures[1].read_bytes() + b"\0")
    outcome = evaluate_job(load([*settings, "measure=single_deletion", "on_error=skip"]))
    assert [key for key, _ in outcome.unobserved] == ["000002"]
    assert "the picture file is another one than the row was made on" in outcome.complaint
    assert "failed, without observations" in outcome.complaint
    assert "have no row" not in outcome.complaint
    assert outcome.failed == []
    run = load_run(outcome.folders[0])
    (idsds,) = run.observations
    assert outcome.pairs == len(idsds.lines) == (run.rows["key"] != "000002").sum()


def test_a_pair_that_left_the_annotations_is_refused_and_counts_nowhere(devkit):
    place, settings = devkit
    (path,) = (place.parent.parent / "results" / "records").iterdir()
    before = (path / "run.json").read_bytes()
    rows = load_run(path).rows
    several = next(key for key, labels in rows.groupby("key")["label"] if len(labels) > 1)
    file = place / "Annotations" / f"{several}.xml"
    text = file.read_text()
    gone = rows[rows["key"] == several]["label"].iloc[0]
    objects = [part.removesuffix("</annotation>") for part in text.split("<object>")]
    kept = [part for part in objects if f"<name>{gone}</name>" not in part]
    file.write_text("<object>".join(kept) + "</annotation>")
    job._memory.clear()  # as a new process reads them
    with pytest.raises(
        ValueError,
        match=rf"^1 pair is in the run's rows and not in the annotations any more, picture {several} with class {gone}",
    ):
        evaluate_job(load(settings))
    assert (path / "run.json").read_bytes() == before, "it says what the rows were made on"
    run = load_run(path)
    assert readable([run], []) == [run]
    run.info["pairs"]["all"] -= 1  # as an earlier version left it
    bad: list = []
    assert readable([run], bad) == []
    assert f"holds {len(rows)} rows, and its data set has {len(rows) - 1} pairs" in bad[0].why
