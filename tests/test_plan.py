"""Which pairs there are and which are left, by hand: limits, shards, subsets, rows of other content."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from eval.running import plan as planning
from eval.running.plan import COMPARED, Plan, plan, select
from tests.test_sample import Kept, sample

CLASSES = ["a", "b", "c"]
TWO = [(0, 0, 5, 5), (9, 9, 80, 50)]  # the first is difficult, the second, larger than a quarter, is not


def named(key, boxes=TWO, labels=(0, 1), **more):
    made = sample(boxes, labels, open=Kept((100, 60), f"digest of {key}"), **more)
    object.__setattr__(made, "key", key)
    return made


DATA = [named("p0"), named("p1", [], []), named("p2"), named("p3", [(1, 1, 9, 9)], [2]), named("p4")]


def row(each, pair, **changed):
    region = each.region(pair.label).digest
    kept = {"key": each.key, "label": CLASSES[pair.label], "difficult": pair.difficult, "region": region}
    return kept | {"width": 100, "height": 60, "picture": f"digest of {each.key}"} | changed


def all_rows(planned):
    return [row(each, pair) for _, each, todo in planned.entries for pair in todo]


def left(planned, subset="all", limit=None, shard=None, rows=()):
    entries = select(planned, subset, limit, shard, rows, CLASSES)
    return [(index, each.key, [CLASSES[pair.label] for pair in todo]) for index, each, todo in entries]


WHOLE = [(0, "p0", ["a", "b"]), (2, "p2", ["a", "b"]), (3, "p3", ["c"]), (4, "p4", ["a", "b"])]


def test_all_pairs_in_order_and_their_counts():
    planned = plan(DATA)
    assert left(planned) == WHOLE
    assert (planned.count(), planned.count("all"), planned.count("diff")) == (7, 7, 3)
    assert planned.failed == []


def test_limits_count_pictures_of_the_data_set():
    for limit, count in ((1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (9, 4)):
        assert left(plan(DATA), limit=limit) == WHOLE[:count]


def test_a_draw_takes_the_pictures_of_the_smallest_hashes_whatever_is_asked_of_them():
    planned = plan(DATA)
    order = sorted((each.key for each in DATA), key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    for count in range(1, 7):
        drawn = [entry for entry in WHOLE if entry[1] in order[:count]]
        for some, expected in ((planned, drawn), (plan(DATA[::-1]), drawn[::-1])):
            entries = select(some, "all", None, None, [], CLASSES, count)
            assert [each.key for _, each, _ in entries] == [key for _, key, _ in expected]
    narrow = planned.scorable([[0], [], [0]])
    assert {each.key for _, each, _ in select(narrow, "all", None, None, [], CLASSES, 3)} <= set(order[:3])
    rows = all_rows(planned)
    assert select(planned, "all", None, None, rows, CLASSES, 1) == [], "a draw hides pictures, it loses none"


def test_shards_part_by_place_and_subsets_by_difficulty():
    assert left(plan(DATA), shard=(1, 2)) == [WHOLE[0], WHOLE[1], WHOLE[3]]
    assert left(plan(DATA), shard=(2, 2)) == [WHOLE[2]]
    assert left(plan(DATA), subset="diff") == [(0, "p0", ["a"]), (2, "p2", ["a"]), (4, "p4", ["a"])]


def test_classes_without_an_output_are_left_out():
    planned = plan(DATA).scorable([[0], [], [3, 4]])
    assert left(planned) == [(0, "p0", ["a"]), (2, "p2", ["a"]), (3, "p3", ["c"]), (4, "p4", ["a"])]
    assert plan(DATA).scorable([[], [], [1]]).count() == 1
    assert Plan([], [("p", "why")]).scorable([]).failed == [("p", "why")]


def test_what_has_a_row_is_not_left():
    planned = plan(DATA)
    rows = all_rows(planned)
    assert left(planned, rows=rows) == []
    assert left(planned, rows=rows[1:]) == [(0, "p0", ["a"])]
    assert left(planned, subset="diff", rows=rows[:1]) == [(2, "p2", ["a"]), (4, "p4", ["a"])]


@pytest.mark.parametrize(
    "changed", [{"width": 99}, {"height": 61}, {"difficult": False}, {"region": "0" * 16}], ids=lambda each: min(each)
)
def test_rows_of_other_annotations_are_refused(changed):
    planned = plan(DATA)
    rows = all_rows(planned)
    rows[0] |= changed
    with pytest.raises(ValueError, match="rows of picture p0, class a, were made on other annotations"):
        left(planned, rows=rows)
    # A shard looks at its own pictures alone.
    assert left(planned, shard=(2, 2), rows=rows) == []


def test_rows_of_another_picture_file_are_refused_and_of_none_are_not():
    planned = plan(DATA)
    rows = all_rows(planned)
    other = [each | ({"picture": "another"} if each["key"] == "p4" else {}) for each in rows]
    with pytest.raises(ValueError, match=r"picture file of p4, .* is another one now"):
        left(planned, rows=other)
    assert left(planned, rows=[each | {"picture": None} for each in rows]) == []
    gone = [named("p0"), *DATA[1:]]
    gone[0].open.given = FileNotFoundError("gone")
    with pytest.raises(ValueError, match=r"picture file of p0, .* is not there any more"):
        left(plan(gone), rows=rows)


def test_rows_of_pictures_that_are_not_there_are_refused_unless_some_cannot_be_read():
    rows = all_rows(plan(DATA))
    fewer = plan(DATA[:3])
    with pytest.raises(ValueError, match=r"^not in this data set: 2 pictures of the run's rows, p3 among them; "):
        left(fewer, rows=rows)
    assert left(Plan(fewer.entries, [("p3", "unreadable")]), rows=rows) == []


def test_rows_of_pairs_that_left_the_annotations_are_refused_and_those_without_an_output_are_not():
    planned = plan(DATA)
    rows = all_rows(planned)
    gone = plan([named("p0", TWO[:1], [0]), *DATA[1:]])
    with pytest.raises(
        ValueError,
        match=r"^1 pair is in the run's rows and not in the annotations any more, picture p0 with class b",
    ):
        left(gone, rows=rows)
    with pytest.raises(ValueError, match="p0 with class b"):
        left(Plan(gone.entries, [("p9", "unreadable")]), rows=rows)
    assert left(planned.scorable([[0], [], [2]]).scorable([[], [], [2]]), rows=rows) == []


@pytest.mark.parametrize("count", [1, 2, COMPARED - 1, COMPARED, COMPARED + 1, 3 * COMPARED])
def test_files_of_pictures_all_over_the_run_are_read_again(count, monkeypatch):
    read: Counter = Counter()

    def of(key):
        actual = named(key)
        given = actual.open.digest
        actual.open.digest = lambda: read.update([key]) or given()
        return actual

    planned = plan([of(f"p{n}") for n in range(count)])
    assert left(planned, rows=all_rows(planned)) == []
    assert set(read.values()) == {1}
    assert len(read) == min(count, COMPARED)
    assert {"p0", f"p{count - 1}"} <= set(read)


def test_two_pictures_of_one_key_and_no_pair_at_all_are_refused():
    with pytest.raises(ValueError, match="two pictures with the key 'p0'"):
        plan([named("p0"), named("p0", [], [])])
    with pytest.raises(ValueError, match=r"no pair in 1 pictures$"):
        plan([named("p1", [], [])])


class Broken(list):
    keys = ["p0", "p1"]

    def __getitem__(self, index):
        if index == 1:
            raise ValueError("unreadable")
        return super().__getitem__(index)


def test_annotations_that_cannot_be_read_stop_or_are_named():
    with pytest.raises(ValueError, match="unreadable"):
        plan(Broken(DATA[:2]))
    planned = plan(Broken(DATA[:2]), "skip")
    assert planned.failed == [("p1", "unreadable")]
    assert planned.count() == 2
    unnamed = Broken(DATA[:2])
    unnamed.keys = dict.keys
    assert plan(unnamed, "skip").failed == [("picture 1", "unreadable")]
    with pytest.raises(ValueError, match="no pair in 2 pictures; 1 annotation cannot be read, the first: unreadable"):
        plan(Broken([named("p0", [], []), None]), "skip")
    with pytest.raises(ValueError, match=r"'a\\udcff' is not UTF-8"):
        plan([named("a\udcff")])


def test_compared_files_are_few():
    assert planning.COMPARED == 256
    assert np.unique(np.linspace(0, 999, COMPARED).round()).size == COMPARED
