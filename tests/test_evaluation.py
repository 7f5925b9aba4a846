"""The loop over pictures: batches, memory that runs out, failures, maps, logs."""

import itertools
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from eval.game.protocol import Input
from eval.game.sample import Sample
from eval.networks.classifier import Classifier
from eval.records import maps
from eval.records.rows import Rows, read_failures, read_rows
from eval.records.schema import TIMING
from eval.running import build, job
from eval.running.config import load
from eval.running.evaluation import Evaluation
from eval.running.log import Log
from eval.running.method_call import Caller
from eval.running.plan import Plan, plan, select

CLASSES = ["cat", "dog", "traffic light", "a/b"]


def picture(number, size):
    if number == 3:
        raise ValueError("p3.jpg is damaged")
    return Image.fromarray(np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


class Pictures:
    classes = CLASSES

    def __init__(self, count=12, damaged=False):
        self.count, self.damaged = count, damaged

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        size = (40, 30) if index % 5 else (36, 36)
        labels = np.arange(1 + index % 3)
        boxes = np.array([[2 + 8 * k, 3, 9 + 8 * k, 20] for k in labels])
        opens = partial(picture, index if self.damaged else index + 100, size)
        return Sample(f"p{index}", size, boxes, labels, np.zeros(len(labels), bool), opens)


class Method:
    """Maps that depend on pixels, class and a draw; `many` computes the same for several pictures at once."""

    def __init__(self, most=99, batch=None):
        self.most, self.calls = most, []
        if batch:
            self.batch = batch

    def __call__(self, image, targets):
        self.calls.append(1)
        if self.most < getattr(self, "batch", 1):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.maps(image, targets, int(torch.randint(2**63 - 1, ())))

    def many(self, images, targets, seeds):
        self.calls.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        drawn = [int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(seed))) for seed in seeds]
        return [self.maps(*one) for one in zip(images, targets, drawn, strict=True)]

    def maps(self, image, targets, drawn):
        noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(drawn))
        return torch.stack([image.mean(0) * (1 + int(target)) + noise for target in targets])


class Single:
    """A method without `many`."""

    def __init__(self, act):
        self.act = act

    def __call__(self, image, targets):
        return self.act(image, targets)


def classifier():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Classifier(network, [0.5] * 3, [0.2] * 3, {"cam": ["0"]}, CLASSES)


def evaluate(folder, method, dataset=None, mode="squash", shard=None, **settings):
    dataset = dataset or Pictures()
    with Rows(folder, shard) as rows:
        left = select(plan(dataset), "all", None, shard, read_rows(folder), CLASSES)
        source = Input(mode, 24)
        return Evaluation(method, classifier(), source, rows, CLASSES, seed=7, **settings).run(left)


def rows_of(folder):
    return [{name: value for name, value in row.items() if name not in TIMING} for row in read_rows(folder)]


def close(one, other):
    """Equal but for the rounding that a batch brings."""
    assert [row["key"] + row["label"] for row in one] == [row["key"] + row["label"] for row in other]
    for first, second in zip(one, other, strict=True):
        for name, value in first.items():
            assert second[name] == (pytest.approx(value, abs=2e-4) if isinstance(value, float) else value), name


@pytest.mark.parametrize("mode", ["squash", "shorter_side"])
def test_batches_give_the_rows_of_single_pictures_in_the_same_order(tmp_path, mode):
    evaluate(tmp_path / "one", Method(), mode=mode)
    for size in (2, 5, 50):
        method = Method()
        evaluate(tmp_path / str(size), method, mode=mode, batch_pictures=size)
        close(rows_of(tmp_path / "one"), rows_of(tmp_path / str(size)))
        # Where the aspect is kept every fifth picture has another shape and a call of its own.
        assert max(method.calls) == (min(size, 12) if mode == "squash" else min(size, 4))


@pytest.mark.parametrize("size", [1, 2])
def test_the_seconds_of_a_call_are_shared_by_its_pictures_and_their_classes(tmp_path, monkeypatch, size):
    ticks = itertools.count()
    monkeypatch.setattr("eval.running.evaluation.time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    evaluate(tmp_path, Method(), batch_pictures=size)
    seconds: dict[str, float] = {}
    for row in read_rows(tmp_path):
        seconds[row["key"]] = seconds.get(row["key"], 0) + row["seconds"]
    assert list(seconds.values()) == pytest.approx([1 / size] * 12, abs=1e-5)


def test_a_method_without_many_gets_one_picture_at_a_time(tmp_path):
    method = Method()
    evaluate(tmp_path / "one", Single(method))
    evaluate(tmp_path / "batch", Single(method), batch_pictures=8)
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "batch")
    assert set(method.calls) == {1}


def test_memory_that_runs_out_halves_the_batch_and_the_run_goes_on(tmp_path, capsys):
    evaluate(tmp_path / "one", Method())
    method, log = Method(most=3), Log(tmp_path / "a.log", "demo.fake", 24)
    assert evaluate(tmp_path / "eight", method, batch_pictures=8, log=log) == []
    close(rows_of(tmp_path / "one"), rows_of(tmp_path / "eight"))
    assert method.calls[:3] == [8, 4, 2]
    assert set(method.calls[3:]) == {2}
    assert "out of GPU memory with 8 pictures at once: going on with 4" in (tmp_path / "a.log").read_text()
    assert "going on with 2" in capsys.readouterr().err


def test_memory_that_runs_out_on_one_picture_halves_the_methods_own_batch():
    said = []
    method = Method(most=4, batch=64)
    answer = Caller(method, 1, said.append)([torch.zeros(3, 4, 4)], [torch.tensor([0])], [1])
    assert answer[0].shape == (1, 4, 4)
    assert method.batch == 4
    assert len(said) == 4
    hopeless = Caller(Method(most=0), 4, said.append)([torch.zeros(3, 4, 4)] * 4, [torch.tensor([0])] * 4, [1] * 4)
    assert len(hopeless) == 1
    assert "out of GPU memory even with one picture at a time" in str(hopeless[0])


class Unlucky(Method):
    def maps(self, image, targets, drawn):
        if len(targets) == 3 and image.sum() > 0:
            return {"zero": 1 / 0}
        return super().maps(image, targets, drawn)


@pytest.mark.parametrize("size", [1, 4])
def test_any_exception_of_a_method_names_method_picture_and_classes_and_leaves_its_traceback_in_the_log(tmp_path, size):
    log = Log(tmp_path / "logs" / "a.log", "demo.fake")
    words = (
        r"^demo\.fake: picture p2 \(cat, dog, traffic light\): test_evaluation\.py, line \d+: ZeroDivisionError: "
        r"division by zero \(traceback in "
    )
    with pytest.raises(RuntimeError, match=words) as caught:
        evaluate(tmp_path / "run", Unlucky(), batch_pictures=size, log=log)
    assert str(caught.value).endswith(f"{log.path})")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert [row["key"] for row in read_rows(tmp_path / "run")] == ["p0", "p1", "p1"]
    text = log.path.read_text()
    assert 'return {"zero": 1 / 0}' in text
    assert "stopped (RuntimeError)" in text


@pytest.mark.parametrize("size", [1, 4])
def test_skipped_pictures_are_counted_named_and_tried_again(tmp_path, size):
    failed = evaluate(tmp_path, Unlucky(), Pictures(damaged=True), batch_pictures=size, on_error="skip")
    assert sorted(key for key, _ in failed) == ["p11", "p2", "p3", "p5", "p8"]
    assert dict(failed)["p3"] == "picture p3 (cat): p3.jpg is damaged"
    assert "p3" not in {row["key"] for row in read_rows(tmp_path)}
    assert read_failures(tmp_path) == dict(failed)
    assert evaluate(tmp_path, Method(), on_error="skip") == []
    assert read_failures(tmp_path) == {}
    assert len(read_rows(tmp_path)) == 24


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda image, targets: torch.full((len(targets), 5, 5), torch.nan), "not finite"),
        (lambda image, targets: torch.zeros(5, 5), r"got \(5, 5\)"),
        (lambda image, targets: torch.zeros(len(targets) + 1, 5, 5), "expected maps"),
        (lambda image, targets: torch.zeros(len(targets), 0, 5), "empty"),
        (lambda image, targets: None, "returned None; it must return maps"),
        (lambda image, targets: "a map", "maps are real numbers"),
    ],
)
def test_an_answer_that_is_no_map_is_an_error_of_its_picture(tmp_path, act, words):
    with pytest.raises(RuntimeError, match=rf"picture p0 \(cat\): .*{words}|picture p0 \(cat\): \w+Error"):
        evaluate(tmp_path, Single(act))
    assert read_rows(tmp_path) == []


def test_a_full_disk_stops_the_run_whatever_the_policy(tmp_path, monkeypatch):
    def full(self, rows):
        raise RuntimeError("rows.jsonl cannot be written: No space left on device")

    monkeypatch.setattr(Rows, "append", full)
    with pytest.raises(RuntimeError, match=r"^rows\.jsonl cannot be written"):
        evaluate(tmp_path, Method(), on_error="skip")


def test_an_interruption_is_no_failure_of_a_picture(tmp_path):
    def interrupt(image, targets):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, Single(interrupt), on_error="skip")
    assert read_failures(tmp_path) == {}


def test_maps_are_saved_whole_before_the_rows_on_the_methods_own_grid(tmp_path):
    method = Method()
    evaluate(tmp_path, method, save_maps=True)
    for row in read_rows(tmp_path):
        heat = np.load(maps.path(tmp_path, row["key"], row["label"]))
        assert heat.dtype == np.float16
        assert heat.shape == (24, 24)
        assert np.abs(heat).max() == 1
    assert len(list(tmp_path.glob("maps/*/*.npy"))) == len(read_rows(tmp_path))
    tiny = torch.tensor([[[1e-9, -2e-9], [0, 5e-10]], [[0, 0], [0, 0]]])
    maps.save(tmp_path, "folder/key", ["cat", "a/b"], tiny.double().numpy())
    assert np.load(tmp_path / "maps/folder/key/cat.npy").tolist() == [[0.5, -1], [0, 0.25]]
    assert np.load(tmp_path / "maps/folder/key/a%2Fb.npy").tolist() == [[0, 0], [0, 0]]
    for key in ("../key", "/key", "a/../../key"):
        with pytest.raises(ValueError, match="names no place inside"):
            maps.path(tmp_path, key, "cat")


def test_a_point_has_no_map_to_save(tmp_path):
    evaluate(tmp_path, Single(lambda image, targets: torch.ones(len(targets), 2)), save_maps=True)
    assert not (tmp_path / "maps").exists()
    assert len(read_rows(tmp_path)) == 24


def test_without_a_terminal_progress_is_lines_now_and_then(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Log(tmp_path / "a.log", "demo.fake", 5) as log:
        for _ in range(5):
            clock[0] += 12
            log.advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "demo.fake: 5 pairs to evaluate",
        "demo.fake: 1 of 5 pairs in 12 s, 48 s left",
        "demo.fake: 4 of 5 pairs in 48 s, 12 s left",
        "finished: demo.fake: 5 of 5 pairs in 60 s",
    ]
    assert "5 of 5 pairs" in (tmp_path / "a.log").read_text()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    evaluate(tmp_path / "run", Method(), log=Log(tmp_path / "file" / "a.log", "demo.fake"))
    assert len(read_rows(tmp_path / "run")) == 24


def test_shards_part_the_pictures_by_their_place_in_the_data_set():
    planned = plan(Pictures(10))
    parts = [[entry[0] for entry in select(planned, "all", None, (i, 3), [], CLASSES)] for i in (1, 2, 3)]
    assert parts == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    # One process cannot read an annotation: its own shards keep their other pictures.
    fewer = Plan([entry for entry in planned.entries if entry[0] != 1], [("picture 1", "damaged")])
    assert [[e[0] for e in select(fewer, "all", None, (i, 3), [], CLASSES)] for i in (1, 2, 3)] == [
        [0, 3, 6, 9],
        [4, 7],
        [2, 5, 8],
    ]


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    class Odd(Pictures):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return Sample("caf\udce9", sample.size, sample.boxes, sample.labels, sample.hard, sample.open)

    with pytest.raises(ValueError, match=r"'caf\\udce9' is not UTF-8; rename the file"):
        plan(Odd())


def test_rows_of_pictures_that_are_not_there_are_refused(tmp_path):
    """Two folders of pictures under one name of data set: their rows would lie in one file."""
    evaluate(tmp_path, Method(), Pictures(4))
    rows, fewer = read_rows(tmp_path), plan(Pictures(3))
    with pytest.raises(ValueError, match=r"1 picture of the run's rows, p3 among them.*dataset\.name"):
        select(fewer, "all", None, None, rows, CLASSES)
    # A picture whose annotation cannot be read today may have been read yesterday.
    damaged = Plan(fewer.entries, [("picture 3", "damaged")])
    assert select(damaged, "all", None, None, rows, CLASSES) == []
    assert select(plan(Pictures(4)), "all", 2, None, rows, CLASSES) == []  # limit hides pictures, it loses none


def test_what_a_data_set_has_to_say_is_printed_once(capsys, monkeypatch):
    monkeypatch.setattr(job, "_memory", {})
    settings = load(["dataset=imagenet", "dataset.root=/nowhere"])

    def noted(cfg):
        data = Pictures(2)
        data.notes = ("3 pictures have no boxes",)
        return data

    monkeypatch.setattr(build, "build_dataset", noted)
    for _ in range(2):
        job.prepare_dataset(settings)
    assert capsys.readouterr().out == "imagenet: 3 pictures have no boxes\n"
