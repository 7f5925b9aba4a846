"""Intervals and tests against plain enumeration, textbook formulas and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from eval.tables.exchange import even, fewest, gaps, rejects, unseen, verdicts
from eval.tables.resampling import average, kinds, sets
from eval.tables.statistics import RULE, holm, interval, mcnemar, out_of_reach, paired_test, power


def signs(count):
    return np.array(list(itertools.product([-1, 1], repeat=count)))


def plain_p(parts, weights, shift=0.0):
    """Two-sided p of all sign changes of what is left of the pictures' parts after a shift of the difference."""
    left = parts - shift * weights
    return (np.abs(signs(len(parts)) @ left) >= abs(left.sum()) - 1e-12).mean()


def data(seed, pictures, pairs=1, continuous=False):
    rng = np.random.default_rng(seed)
    keys = np.repeat(np.arange(pictures), rng.integers(1, pairs + 1, pictures))
    a, b = rng.random((2, len(keys)))
    return keys, *((a, b) if continuous else ((a < 0.7).astype(float), (b < 0.45).astype(float)))


def test_averages_over_pairs_and_over_classes():
    pictures, labels = ["a", "a", "b", "c"], ["dog", "cat", "dog", "dog"]
    values = np.array([1, 0, 1, 0])
    assert kinds(pictures, values).observed == pytest.approx([2 / 4])
    assert kinds(pictures, values, labels).observed == pytest.approx([(2 / 3 + 0) / 2])
    assert average(values, labels) == pytest.approx((2 / 3 + 0) / 2)
    assert kinds(pictures, np.column_stack([values, 1 - values]), labels).observed[1] == pytest.approx(2 / 3)


def test_pictures_of_equal_content_are_one_kind_in_any_order():
    keys, a, b = [0, 1, 2, 2, 3, 3], np.array([1, 1, 0, 1, 1, 0]), np.zeros(6)
    assert gaps(keys, a, b).pictures.tolist() == [2, 2]
    rng = np.random.default_rng(0)
    keys, a, b = data(1, 40, 4, continuous=True)
    order = rng.permutation(len(keys))
    one, other = gaps(keys, a, b), gaps(keys[order], a[order], b[order])
    assert one.pictures.tolist() == other.pictures.tolist()
    np.testing.assert_allclose(one.gaps, other.gaps, atol=1e-15)
    assert verdicts([one])[0].p == verdicts([other])[0].p


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("continuous", [False, True])
def test_p_and_interval_are_those_of_trying_every_exchange_and_every_shift(by_class, continuous):
    for seed in range(4):
        keys, a, b = data(seed, 10, 3, continuous)
        labels = np.random.default_rng(seed).integers(0, 3, len(keys)) if by_class else None
        found = paired_test(keys, a, b, labels)
        part = np.full(len(keys), 1 / len(keys))
        if by_class:
            sizes = np.bincount(labels)
            part = 1 / (sizes[labels] * (sizes > 0).sum())
        parts, weights = np.bincount(keys, (a - b) * part), np.bincount(keys, part)
        assert found.difference == pytest.approx(parts.sum(), abs=1e-12)
        assert found.exchange == pytest.approx(plain_p(parts, weights), rel=1e-9)
        if found.differing >= 6:
            for end, step in ((found.low, 1e-6), (found.high, -1e-6)):
                assert plain_p(parts, weights, end + step) > 0.05
                assert plain_p(parts, weights, end - step) <= 0.05


def test_the_interval_holds_0_exactly_where_the_test_does_not_reject():
    rng = np.random.default_rng(2)
    rejected = 0
    for number in range(500):
        count = int(rng.choice([1, 2, 5, 6, 7, 8, 12, 20, 60, 300]))
        keys = np.repeat(np.arange(count), rng.integers(1, 4))
        a, b = rng.random((2, len(keys))) < rng.random((2, 1)) ** 0.3
        if number % 3 == 0:
            a = np.where(rng.random(len(keys)) < 0.9, b, a)
        values = a.astype(float), b.astype(float)
        if number % 5 == 0:
            values = a + rng.random(len(keys)), b + rng.random(len(keys))
        found = paired_test(keys, *values, resamples=200)
        turned = paired_test(keys, *values[::-1], resamples=200)
        assert turned.exchange == found.exchange
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), nan_ok=True)
        if not math.isnan(found.low):
            assert (found.low <= 0 <= found.high) == (found.exchange > 0.05)
            assert found.low <= found.difference + 1e-12 <= found.high + 2e-12
            assert number % 5 == 0 or -1 <= found.low <= found.high <= 1
        else:
            assert found.exchange > 0.05
        rejected += found.exchange <= 0.05
    assert 50 < rejected < 450


@pytest.mark.parametrize("count", range(1, 9))
def test_a_picture_too_few_shows_nothing(count):
    """A hits in each picture and B in none: the exchange test's p is 2 / 2**n, which six pictures are the first to
    reject; the interval is what the binomial leaves open: it ends at 1 and begins at 1 minus twice its bound."""
    found = paired_test(np.arange(count), np.ones(count), np.zeros(count))
    assert found.exchange == min(1.0, 2 / 2**count)
    assert found.mcnemar == pytest.approx(found.exchange)
    assert found.high == 1
    expected = -1 if count < 6 else 1 - 2 * stats.binomtest(0, count).proportion_ci(0.95).high
    assert found.low == pytest.approx(expected)
    assert (found.low > 0) == (count >= 6)


def test_methods_that_agree_on_every_pair_may_differ_on_others():
    found = paired_test(np.arange(100), np.ones(100), np.ones(100))
    bound = stats.binomtest(0, 100).proportion_ci(0.95).high
    assert (found.low, found.high, found.exchange) == (pytest.approx(-bound), pytest.approx(bound), 1)
    assert found.resolves == pytest.approx(bound)
    assert math.isnan(found.needed)
    distance = paired_test(np.arange(100), np.full(100, 3.7), np.full(100, 3.7))
    assert math.isnan(distance.low), "no bound is known of values that have none"
    assert math.isnan(distance.high)
    assert math.isnan(distance.resolves)
    assert distance.exchange == 1
    correlation = paired_test(np.arange(100), np.full(100, 0.7), np.full(100, 0.7), span=2)
    assert correlation.high == pytest.approx(2 * bound)


def test_few_differing_pictures_are_bound_by_their_share():
    a, b = np.zeros(31), np.zeros(31)
    b[:3] = 1
    found = paired_test(np.arange(31), a, b)
    bound = stats.binomtest(3, 31).proportion_ci(0.95).high
    assert found.exchange == 0.25
    assert (found.low, found.high) == (pytest.approx(-bound), pytest.approx(bound))
    heavy = gaps([0, 0, 0, 1, 2, 3], np.array([1, 1, 1, 0, 0, 0]), np.zeros(6))
    trials = 1 / (0.5**2 + 3 / 6**2)
    expected = stats.beta.ppf(0.975, 0.5 * trials + 1, trials - 0.5 * trials)
    assert unseen(heavy, heavy.gaps != 0) == pytest.approx(expected), "a picture of three pairs is half of all"


def test_the_drawn_sets_agree_with_all_sets(monkeypatch):
    from eval.tables import resampling

    for continuous in (False, True):
        keys, a, b = data(4, 14, 3, continuous)
        exact = paired_test(keys, a, b)
        with monkeypatch.context() as patch:
            patch.setattr(resampling, "EXACT", 1)
            drawn = paired_test(keys, a, b, resamples=40_000)
        assert drawn.exchange == pytest.approx(exact.exchange, abs=0.01)
        assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)


def test_where_few_of_many_pictures_differ_p_is_exact_and_the_others_are_drawn():
    """Eight of 400 pictures differ, all others have as many kinds as there are numbers of pairs."""
    rng = np.random.default_rng(6)
    keys = np.repeat(np.arange(400), rng.integers(1, 60, 400))
    a, b = np.zeros(len(keys)), np.zeros(len(keys))
    for picture in range(8):
        a[np.flatnonzero(keys == picture)[0]] = 1
    found = paired_test(keys, a, b, resamples=500)
    assert found.exchange == 2 / 2**8
    assert 0 < found.low < found.difference < found.high


def test_the_observed_difference_counts_as_one_exchange():
    """Forty pictures favour A: none of 99 exchanges reaches that, and p is still not 0 (Phipson, Smyth, 2010)."""
    a, b = 1 + np.random.default_rng(0).random(40), np.zeros(40)
    assert paired_test(np.arange(40), a, b, resamples=99).exchange == pytest.approx(1 / 100, rel=1e-9)
    assert paired_test(np.arange(40), a, a, resamples=99).exchange == 1


def test_every_drawn_set_has_its_complement_and_all_pictures_and_none_are_two_of_them():
    ours = gaps(np.arange(40), 1 + np.random.default_rng(0).random(40), np.zeros(40))
    part, weight, chance = next(sets([ours], 99, 0))
    assert [part[-2:].tolist(), weight[-2:].tolist()] == [[0, ours.difference], [0, 1]]
    half = len(part) // 2 - 1
    np.testing.assert_allclose(part[:half] + part[half:-2], ours.difference)
    np.testing.assert_allclose(weight[:half] + weight[half:-2], 1)
    assert chance.sum() == pytest.approx(1)


def test_several_comparisons_are_each_their_own():
    several = [gaps(*data(seed, count, 2, True)) for seed, count in enumerate((30, 30, 50, 8, 30))]
    for one, found in zip(several, verdicts(several, resamples=300), strict=True):
        assert found == verdicts([one], resamples=300)[0]


def test_blocks_of_drawn_sets_make_no_difference(monkeypatch):
    from eval.tables import resampling

    keys, a, b = data(3, 40, 2, True)
    expected = paired_test(keys, a, b, resamples=77)
    monkeypatch.setattr(resampling, "CHUNK", 8 * 40)  # eight sets at a time: whole bytes
    assert paired_test(keys, a, b, resamples=77).exchange == pytest.approx(expected.exchange, abs=1e-12)


def test_rounding_errors_decide_nothing():
    """0.1 + 0.2 and 0.3 are one value, in pictures and in sets of them."""
    a, b = np.full(20, 0.1 + 0.2), np.full(20, 0.3)
    found = paired_test(np.arange(20), a, b)
    assert (found.differing, found.difference, found.exchange) == (0, 0, 1)
    a, b = np.array([0.1, 0.2, 0.3, 0, 0, 0, 0.7]), np.array([0, 0, 0, 0.3, 0.2, 0.1, 0.7])
    assert paired_test(np.arange(7), a, b).exchange == 1
    assert even(0.1 + 0.2) == even(0.3) != even(0.3 + 2e-9)
    assert rejects(0.05)
    assert rejects(0.05 + 1e-12)
    assert not rejects(0.0501)
    assert not rejects(math.nan)
    assert rejects(np.array([0.01, np.nan, 0.2])).tolist() == [True, False, False]
    assert fewest() == 6
    assert fewest(0.9375) == 5
    assert fewest(0.99) == 8


@pytest.mark.parametrize(("count", "runs"), [(200, 400), (12, 400), (6, 300)], ids=["many", "few", "least"])
def test_paired_intervals_cover_as_often_as_they_say(count, runs):
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(runs):
        ease = rng.random(count)
        pictures = np.repeat(np.arange(count), 2)
        a, b = rng.random((2, 2 * count)) < np.stack([0.4 + 0.5 * ease, 0.2 + 0.5 * ease])[:, pictures]
        actual = paired_test(pictures, a, b, resamples=400)
        covered += actual.low <= 0.2 <= actual.high
    assert 0.93 <= covered / runs <= 1


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


def test_with_one_pair_a_picture_the_exchange_test_is_mcnemar():
    for only_a, only_b in ((5, 15), (0, 6), (80, 100)):
        a, b = np.zeros(300), np.zeros(300)
        a[:only_a], b[only_a : only_a + only_b] = 1, 1
        actual = paired_test(np.arange(300), a, b, resamples=50)
        assert (actual.only_a, actual.only_b) == (only_a, only_b)
        assert actual.exchange == pytest.approx(actual.mcnemar, rel=1e-9)


def test_mcnemar_is_that_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    for only_a, only_b in ((1, 9), (30, 14), (200, 260), (7, 7)):
        expected = theirs([[50, only_a], [only_b, 60]], exact=True).pvalue
        assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a) == pytest.approx(expected)
    assert mcnemar(5, 15) == pytest.approx(2 * 21700 / 2**20)
    assert mcnemar(0, 0) == 1


def test_power_against_simulated_differences():
    """As many pictures as `needed` says reject about four times in five."""
    rng = np.random.default_rng(7)
    pilot = rng.normal(0.4, 1, 4000)
    each = gaps(np.arange(4000), pilot, np.zeros(4000))
    needed = power(each, math.nan)[1]
    assert needed == pytest.approx((1.96 + 0.8416) ** 2 * (pilot.std() / pilot.mean()) ** 2, rel=0.01)
    shown = [paired_test(np.arange(needed), rng.normal(0.4, 1, needed), np.zeros(needed), resamples=400)
             for _ in range(300)]  # fmt: skip
    assert np.mean([one.exchange <= 0.05 for one in shown]) == pytest.approx(0.8, abs=0.07)
    few = gaps(np.arange(30), np.r_[1.0, np.zeros(29)], np.zeros(30))
    resolves, needed = power(few, 0.17)
    assert resolves == pytest.approx(max(0.17, 2.8016 * few.deviation), rel=1e-4)
    assert needed == max(180, math.ceil(30 * (2.8016 * few.deviation * 30) ** 2)), "six differing pictures at least"


def test_holm():
    # 0.01 * 4, then max(0.04, 0.02 * 3), then max(., 0.03 * 2), then max(., 0.04).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
    assert holm([np.nan, 0.01, np.nan, 0.03]) == pytest.approx([np.nan, 0.02, np.nan, 0.03], nan_ok=True)
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(3).random(30) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_the_interval_of_hits_is_binomial_in_effective_trials():
    """One pair a picture: trials are pictures, less what Student's t takes; written out with scipy's beta."""
    values = np.r_[np.ones(21), np.zeros(9)]
    trials = (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 29)) ** 2 * 29
    expected = (
        stats.beta.ppf(0.025, 0.7 * trials, 0.3 * trials + 1),
        stats.beta.ppf(0.975, 0.7 * trials + 1, 0.3 * trials),
    )
    assert interval(kinds(np.arange(30), values)) == pytest.approx(expected)
    five = interval(kinds(np.repeat(np.arange(30), 5), np.repeat(values, 5)))
    assert five == pytest.approx(expected), "pairs that repeat their picture tell nothing new"
    correlations = interval(kinds(np.arange(30), 2 * values - 1), span=2)
    assert correlations == pytest.approx(tuple(2 * np.array(expected) - 1))
    assert interval(kinds(np.repeat(np.arange(9), 2), np.tile([1, 0], 9)))[1] < 0.75, "never more trials than pairs"


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize(("count", "truth"), [(4, 0.7), (8, 0.7), (15, 0.9), (150, 0.7)])
def test_intervals_cover_as_often_as_they_say(by_class, count, truth):
    # Pairs of one picture hang together: an interval that took them as independent would cover far less.
    rng = np.random.default_rng(11)
    covered, runs = 0, 500
    for _ in range(runs):
        skill = rng.beta(3 * truth, 3 - 3 * truth, count)
        pictures = np.repeat(np.arange(count), 3)
        values = rng.random(3 * count) < skill[pictures]
        low, high = interval(kinds(pictures, values, rng.integers(0, 3, 3 * count) if by_class else None))
        covered += low <= truth <= high
    assert 0.93 <= covered / runs <= (0.975 if count > 100 else 1)


def test_where_all_pictures_agree_the_interval_is_binomial():
    # The rule of three: no failure in n trials leaves room up to about 3.7/n at 95 % two-sided.
    low, high = interval(kinds(np.arange(100), np.ones(100)))
    assert (low, high) == (pytest.approx(1 - 0.0362, abs=1e-4), 1)
    assert interval(kinds(np.arange(100), np.zeros(100)))[1] == pytest.approx(0.0362, abs=1e-4)
    assert np.isnan(interval(kinds(["a", "a"], [1, 0]))).all()
    assert interval(kinds([1, 2, 3], [0.25] * 3)) == pytest.approx((0.25, 0.25)), "no spread, and no trials"


def test_values_without_bounds_lie_between_averages_of_sets():
    values = np.random.default_rng(8).gamma(1.0, 20, size=10)
    sets = [values[np.array(one, bool)].mean() for one in itertools.product([0, 1], repeat=10) if any(one)]
    low, high = interval(kinds(np.arange(10), values), span=math.nan)
    # 2 P(average <= low) > 0.05 first where 26 of 1,024 sets, the empty one among them, are as low.
    assert (low, high) == pytest.approx((np.sort(sets)[24 + 1 - 1], np.sort(sets)[-25]))
    assert interval(kinds(np.arange(10), values)) == pytest.approx((low, high))
    assert np.isnan(interval(kinds(np.arange(5), values[:5]), span=math.nan)).all()
    several = [kinds(np.arange(10), values / 100), kinds(np.arange(10), values), kinds([0, 1], [0.5, 0.6])]
    from eval.tables.statistics import intervals

    assert intervals(several) == [interval(one) for one in several]
    assert not np.isnan(interval(several[0])).any()


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        kinds([1, 2], [0.5, np.nan])
    with pytest.raises(ValueError, match="no pairs"):
        kinds([], [])


def test_the_rule_has_the_same_words_wherever_it_is_met():
    from eval.files.places import ROOT

    readme = " ".join((ROOT / "eval/tables/README.md").read_text(encoding="utf-8").split())
    assert RULE in readme
    assert RULE.count(". ") + RULE.count("? ") + RULE.endswith(".") == 3, "three sentences, one of which asks"


@pytest.mark.parametrize(
    ("comparisons", "resamples", "enough"), [(500, 9999, True), (501, 9999, False), (12, 200, False)]
)
def test_comparisons_that_no_draw_can_show_are_named_with_what_helps(comparisons, resamples, enough):
    why = out_of_reach(comparisons, resamples)
    assert enough == (not why)
    if why:
        needed = int(why.rpartition(" ")[2])
        assert out_of_reach(comparisons, needed) == ""
        assert out_of_reach(comparisons, needed - 2) != ""
