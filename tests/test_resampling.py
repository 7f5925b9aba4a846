"""Kinds of pictures against a slow grouping, and resamples that several cells share against each cell's own."""

from collections import Counter

import numpy as np
import pytest

from eval.records.loading import Run
from eval.tables.counted import Selected, shared
from eval.tables.resampling import average, bootstrap, bootstraps, kinds
from eval.tables.statistics import interval, intervals


def drawn(seed, pictures=40, methods=1, continuous=False):
    """(pictures, values, labels) of one to three pairs a picture, in any order."""
    rng = np.random.default_rng(seed)
    names = np.array([f"p{n}" for n in range(pictures) for _ in range(rng.integers(1, 4))])
    values = rng.random((len(names), methods)) if continuous else rng.integers(0, 2, (len(names), methods))
    order = rng.permutation(len(names))
    return names[order], values.astype(float)[order], rng.choice(["b", "a", "c"], len(names))[order]


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("continuous", [False, True])
def test_kinds_are_the_pictures_grouped_by_equal_pairs(by_class, continuous):
    for seed in range(20):
        pictures, values, labels = drawn(seed, methods=1 + seed % 2, continuous=continuous)
        labels = labels if by_class else np.full(len(pictures), "")
        content = {}
        for picture, label, line in zip(pictures, labels, values, strict=True):
            content.setdefault(picture, []).append((label, *line))
        expected = Counter(tuple(sorted(pairs)) for pairs in content.values())
        found = kinds(pictures, values, labels if by_class else None)
        # In this order the draws of a seed fall on the same pictures from version to version.
        assert found.pictures.tolist() == [expected[pairs] for pairs in sorted(expected)]
        names = sorted(set(labels))
        for kind, pairs in enumerate(sorted(expected)):
            for place, name in enumerate(names):
                mine = [pair for pair in pairs if pair[0] == name]
                assert found.counts[kind, place] == len(mine)
                for method, sums in enumerate(found.sums):
                    assert sums[kind, place] == pytest.approx(sum(pair[1 + method] for pair in mine))


@pytest.mark.parametrize("by_class", [False, True])
def test_a_mean_without_kinds_is_theirs(by_class):
    for seed in range(10):
        pictures, values, labels = drawn(seed, continuous=seed % 2 == 0)
        classes = labels if by_class else None
        assert average(values[:, 0], classes) == pytest.approx(kinds(pictures, values, classes).observed[0], abs=1e-12)


def test_cells_that_share_draws_have_the_resamples_of_each_alone():
    several = [
        kinds(pictures, values, labels if by_class else None)
        for seed, continuous, methods, by_class, count in (
            (1, True, 1, False, 40), (2, False, 1, False, 40), (3, True, 2, False, 40), (4, True, 1, True, 40),
            (5, True, 2, True, 40), (6, True, 1, False, 33), (7, False, 2, False, 60),
        )
        for pictures, values, labels in [drawn(seed, count, methods, continuous)]
    ]  # fmt: skip
    assert {groups.varied for groups in several} == {False, True}
    for groups, found in zip(several, bootstraps(several, 300, seed=5), strict=True):
        np.testing.assert_allclose(found, bootstrap(groups, 300, seed=5), atol=1e-12)
        assert found.shape == (300, len(groups.sums))
    assert np.ptp(bootstraps(several, 50)[0]) > 0


def test_resamples_that_draw_pictures_are_those_of_drawing_them_one_by_one():
    pictures, values, _ = drawn(8, continuous=True)
    groups = kinds(pictures, values)
    each = groups.of_pictures()
    sums, counts = each.sums[0].toarray()[:, 0], each.counts.toarray()[:, 0]
    rng, slow = np.random.default_rng(3), []
    for _ in range(100):
        chosen = rng.integers(len(sums), size=len(sums))
        slow.append(sums[chosen].sum() / counts[chosen].sum())
    np.testing.assert_allclose(bootstrap(groups, 100, seed=3)[:, 0], slow, atol=1e-12)


def test_intervals_of_several_are_those_of_each():
    several = [kinds(*drawn(seed, 70, continuous=seed % 2 == 0)[:2]) for seed in range(4)]
    several += [kinds(["a"], [1.0]), kinds(list("abc"), [1.0, 1, 1]), kinds(list("abcdefgh"), np.arange(8) / 8)]
    for groups, found in zip(several, intervals(several, resamples=400), strict=True):
        np.testing.assert_allclose(found, interval(groups, resamples=400), atol=1e-12)


def test_pairs_that_two_methods_share_are_found_in_any_order(tmp_path):
    import pandas as pd

    from eval.records.batch import Batch

    def chosen(keys, values):
        run = Run(tmp_path, {})
        run.part = Batch.of(pd.DataFrame({"key": list(keys), "label": "x"}, dtype="str")).parts()[0]
        return Selected(run, None, None, np.array(values, float), len(keys), 0, 0)

    one = chosen("abcd", [1, 2, 3, 4])
    for other, expected in (
        (chosen("abcd", [5, 6, 7, 8]), {"a": (1, 5), "b": (2, 6), "c": (3, 7), "d": (4, 8)}),
        (chosen("dbca", [5, 6, 7, 8]), {"a": (1, 8), "b": (2, 6), "c": (3, 7), "d": (4, 5)}),
        (chosen("bx", [5, 6]), {"b": (2, 5)}),
        (chosen("xy", [5, 6]), {}),
        (chosen("abcd", [5, np.nan, 7, np.nan]), {"a": (1, 5), "c": (3, 7)}),
    ):
        keys, labels, values = shared(one, other)
        assert dict(zip(keys, map(tuple, values.tolist()), strict=True)) == expected
        assert set(labels) <= {"x"}


def test_single_precision_where_it_is_exact_and_nowhere_else():
    pictures, values, labels = drawn(3, pictures=200, methods=2)
    groups = kinds(pictures, values, labels)
    narrow = groups.narrow()
    assert {matrix.dtype for matrix in (narrow.counts, *narrow.sums)} == {np.dtype(np.float32)}
    weights = np.random.default_rng(1).integers(0, 5, (70, len(groups.pictures))).astype(float)
    assert np.array_equal(groups.averages(weights), narrow.averages(weights))
    assert groups.averages(weights).dtype == narrow.averages(weights).dtype == float
    assert kinds(pictures, values / 2, labels).narrow().counts.dtype == float, "halves are no whole numbers"
    assert kinds(pictures, values * 2**17, labels).narrow().counts.dtype == float, "200 of them leave the exact range"


def test_averages_over_classes_of_as_many_resamples_as_there_are_however_they_are_cut(monkeypatch):
    from eval.tables import resampling

    pictures, values, labels = drawn(5, methods=2, continuous=True)
    groups = kinds(pictures, values, labels)
    assert groups.varied
    expected = bootstrap(groups, 77)
    assert expected.shape == (77, 2)
    monkeypatch.setattr(resampling, "TILE", 7)
    np.testing.assert_allclose(bootstrap(groups, 77), expected, rtol=1e-12)
    monkeypatch.setattr(resampling, "CHUNK", 500)
    np.testing.assert_allclose(bootstrap(groups, 77), expected, rtol=1e-12)
