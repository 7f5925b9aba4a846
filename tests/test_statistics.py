"""Intervals and tests against known cases, plain resampling and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from eval.tables.resampling import bootstrap, kinds, resampled
from eval.tables.statistics import exchange_test, holm, interval, mcnemar, paired_test


def test_averages_over_pairs_and_over_classes():
    pictures, labels = ["a", "a", "b", "c"], ["dog", "cat", "dog", "dog"]
    values = np.array([1, 0, 1, 0])
    assert kinds(pictures, values).observed == pytest.approx([2 / 4])
    assert kinds(pictures, values, labels).observed == pytest.approx([(2 / 3 + 0) / 2])


def test_pictures_of_equal_content_are_one_kind():
    groups = kinds([0, 1, 2, 2, 3, 3], [1, 1, 0, 1, 1, 0])
    assert sorted(groups.pictures) == [2, 2]
    assert groups.observed == pytest.approx([4 / 6])


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("continuous", [False, True])
def test_the_distribution_is_that_of_resampling_pictures_one_by_one(by_class, continuous):
    rng = np.random.default_rng(3)
    pictures = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    labels = rng.integers(0, 3, len(pictures))
    values = rng.random(len(pictures)) if continuous else (rng.random(len(pictures)) < 0.7).astype(float)
    fast = bootstrap(kinds(pictures, values, labels if by_class else None), 4000)[:, 0]
    slow = []
    for _ in range(4000):
        drawn = np.concatenate([np.flatnonzero(pictures == p) for p in rng.integers(0, 40, 40)])
        if by_class:
            slow.append(np.mean([values[drawn][labels[drawn] == c].mean() for c in np.unique(labels[drawn])]))
        else:
            slow.append(values[drawn].mean())
    assert stats.ks_2samp(fast, slow).pvalue > 0.001
    assert fast.std() == pytest.approx(np.std(slow), rel=0.08)


def test_every_resample_has_as_many_pictures_as_there_are():
    for values in (np.ones(50), np.random.default_rng(0).random(50)):  # few kinds; every picture a kind of its own
        for weights in resampled(kinds(np.arange(50), values), 300):
            assert (weights.sum(1) == 50).all()


def test_classes_that_a_resample_lacks_are_left_out_of_its_mean():
    groups = kinds([0, 1, 2], [1, 1, 1], ["a", "b", "c"])
    assert bootstrap(groups, 200) == pytest.approx(1)


@pytest.mark.parametrize("by_class", [False, True])
def test_intervals_cover_as_often_as_they_say(by_class):
    # Pairs of one picture hang together: an interval that took them as independent would cover far less.
    rng = np.random.default_rng(11)
    covered, runs = 0, 800
    for _ in range(runs):
        skill = rng.beta(2.1, 0.9, 150)
        pictures = np.repeat(np.arange(150), 3)
        values = rng.random(450) < skill[pictures]
        labels = rng.integers(0, 3, 450) if by_class else None
        low, high = interval(kinds(pictures, values, labels), resamples=400)
        covered += low <= 0.7 <= high
    assert 0.93 <= covered / runs <= 0.97


@pytest.mark.parametrize(
    ("count", "runs", "resamples", "highest"), [(200, 800, 400, 0.97), (12, 400, 300, 0.985)], ids=["many", "few"]
)
def test_paired_intervals_cover_as_often_as_they_say(count, runs, resamples, highest):
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(runs):
        ease = rng.random(count)
        pictures = np.repeat(np.arange(count), 2)
        a, b = rng.random((2, 2 * count)) < np.stack([0.4 + 0.5 * ease, 0.2 + 0.5 * ease])[:, pictures]
        actual = paired_test(pictures, a, b, resamples=resamples)
        covered += actual.low <= 0.2 <= actual.high
    assert 0.92 <= covered / runs <= highest


def test_resampling_pairs_instead_of_pictures_would_be_too_narrow():
    rng = np.random.default_rng(0)
    skill = rng.random(200) < 0.7
    pictures = np.repeat(np.arange(200), 5)
    by_picture = np.diff(interval(kinds(pictures, skill[pictures]), resamples=2000))[0]
    by_pair = np.diff(interval(kinds(np.arange(1000), skill[pictures]), resamples=2000))[0]
    assert by_picture == pytest.approx(np.sqrt(5) * by_pair, rel=0.1)


def test_where_all_pictures_agree_the_interval_is_binomial():
    # The rule of three: no failure in n trials leaves room up to about 3.7/n at 95 % two-sided.
    low, high = interval(kinds(np.arange(100), np.ones(100)))
    assert (low, high) == (pytest.approx(1 - 0.0362, abs=1e-4), 1)
    assert interval(kinds(np.arange(100), np.zeros(100)))[1] == pytest.approx(0.0362, abs=1e-4)
    assert np.isnan(interval(kinds(["a", "a"], [1, 0]))).all()


def test_mcnemar_against_a_table_of_the_binomial():
    # 5 against 15: 2 * P(X <= 5), X ~ B(20, 1/2) = 2 * 21700 / 2**20.
    assert mcnemar(5, 15) == mcnemar(15, 5) == pytest.approx(2 * 21700 / 2**20)
    assert mcnemar(0, 0) == mcnemar(7, 7) == 1
    assert mcnemar(0, 6) == pytest.approx(2 / 64)


def test_mcnemar_is_that_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    for only_a, only_b in ((1, 9), (30, 14), (200, 260)):
        assert mcnemar(only_a, only_b) == pytest.approx(theirs([[50, only_a], [only_b, 60]], exact=True).pvalue)


def test_with_one_pair_a_picture_the_exchange_test_is_mcnemar():
    a, b = np.zeros(100), np.zeros(100)
    a[:5], b[5:20] = 1, 1
    actual = paired_test(np.arange(100), a, b, resamples=20_000)
    assert (actual.only_a, actual.only_b) == (5, 15)
    assert actual.exchange == pytest.approx(actual.mcnemar, abs=0.006)
    assert actual.difference == pytest.approx(-0.1)


def test_the_exchange_test_is_valid_where_pairs_hang_together():
    # Same skill, but a picture's five pairs go together: McNemar rejects too often, the exchange of pictures does not.
    rng = np.random.default_rng(1)
    rejected = {"mcnemar": 0, "exchange": 0}
    pictures = np.repeat(np.arange(60), 5)
    for _ in range(400):
        a, b = (rng.random((2, 60)) < 0.5)[:, pictures]
        actual = paired_test(pictures, a, b, resamples=300)
        rejected["mcnemar"] += actual.mcnemar < 0.05
        rejected["exchange"] += actual.exchange < 0.05
    assert rejected["exchange"] / 400 == pytest.approx(0.05, abs=0.03)
    assert rejected["mcnemar"] / 400 > 0.2


def test_the_exchange_test_by_class_against_plain_permutation():
    rng = np.random.default_rng(9)
    pictures, labels = np.repeat(np.arange(30), 2), rng.integers(0, 3, 60)
    a, b = rng.random(60) < 0.7, rng.random(60) < 0.5

    def by_class(difference):
        return np.mean([difference[labels == c].mean() for c in range(3)])

    difference = a.astype(float) - b
    seen = abs(by_class(difference))
    plain = np.mean(
        [abs(by_class(difference * rng.choice([-1, 1], 30)[pictures])) >= seen - 1e-12 for _ in range(4000)]
    )
    assert exchange_test(kinds(pictures, np.column_stack([a, b]), labels), 8000) == pytest.approx(plain, abs=0.025)


def test_holm():
    # 0.01 * 4, then max(0.04, 0.02 * 3), then max(., 0.03 * 2), then max(., 0.04).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(holm([])) == 0


def test_same_data_same_interval():
    values = np.random.default_rng(2).random(300) < 0.6
    assert interval(kinds(np.arange(300), values)) == interval(kinds(np.arange(300), values))
    order = np.random.default_rng(3).permutation(300)
    assert interval(kinds(np.arange(300)[order], values[order])) == interval(kinds(np.arange(300), values))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        kinds([1, 2], [0.5, np.nan])
    with pytest.raises(ValueError, match="no pairs"):
        kinds([], [])


def test_the_observed_difference_counts_as_one_exchange():
    """Forty pictures favour A: none of 99 exchanges reaches that, and p is still not 0 (Phipson and Smyth, 2010)."""
    a, b = np.ones(40), np.zeros(40)
    assert paired_test(np.arange(40), a, b, resamples=99).exchange == 1 / 100
    assert paired_test(np.arange(40), a, a, resamples=99).exchange == 1


@pytest.mark.parametrize("by_class", [False, True])
def test_intervals_of_few_pictures_cover_too_where_percentiles_alone_do_not(by_class):
    rng = np.random.default_rng(4)
    covered, runs = np.zeros(2), 400
    for _ in range(runs):
        skill = rng.beta(2.1, 0.9, 8)
        pictures = np.repeat(np.arange(8), rng.integers(1, 4, 8))
        values = (rng.random(len(pictures)) < skill[pictures]).astype(float)
        groups = kinds(pictures, values, rng.integers(0, 3, len(pictures)) if by_class else None)
        low, high = interval(groups, resamples=300)
        narrow = np.quantile(bootstrap(groups, 300)[:, 0], [0.025, 0.975])
        covered += low <= 0.7 <= high, narrow[0] <= 0.7 <= narrow[1]
    ours, percentiles = covered / runs
    assert 0.93 <= ours <= 0.98
    assert percentiles < 0.91


def test_bca_is_that_of_scipy_but_for_the_widening():
    """At a level whose widened quantiles are scipy's: one value a picture, no ties."""
    values = np.random.default_rng(8).gamma(1.0, size=25)
    wide = 2 * stats.norm.cdf(np.sqrt(25 / 24) * stats.t.ppf(0.975, 24)) - 1
    theirs = stats.bootstrap((values,), np.mean, confidence_level=wide, n_resamples=20_000, method="BCa", rng=1)
    ours = interval(kinds(np.arange(25), values), resamples=20_000)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.03)
    assert ours[1] - values.mean() > 1.2 * (values.mean() - ours[0]), "the long tail is on the right"


def test_from_sixty_pictures_on_intervals_are_plain_percentiles():
    for count, plain in ((59, False), (60, True)):
        values = np.random.default_rng(1).gamma(1.0, size=count)
        groups = kinds(np.arange(count), values)
        percentiles = np.quantile(bootstrap(groups)[:, 0], [0.025, 0.975])
        assert (interval(groups) == pytest.approx(tuple(percentiles), abs=1e-12)) is plain


def test_two_pictures_have_an_interval_within_their_values():
    low, high = interval(kinds(["a", "b"], [0.25, 0.75]))
    assert (low, high) == pytest.approx((0.25, 0.75), abs=1e-6)
