"""Vector code against the plain path: equal sums, whatever the values and wherever the patches lie."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from eval.files.places import ROOT
from gpnncam import patches, plain
from gpnncam.pyramid import PATCH

ROWS = {"head": (0, 3), "tail": (3, PATCH), "full": (0, PATCH)}
# Black against white is the largest distance: 147 * 255^2 fits 32 bits, a row's lanes do not fit 16.
RANGES = {"pixels": (0, 256), "extremes": (0, 2)}


def pictures(kind, seed):
    rng = np.random.default_rng(seed)
    low, high = RANGES[kind]
    made = [rng.integers(low, high, (14, 11 + 3 * i, 3)) * (255 if kind == "extremes" else 1) for i in range(2)]
    rows = [patches.to_rows(each) for each in made]
    for each in rows:
        each[:, -patches.PADDING :] = 999  # the padding counts for nothing
    return rows


def places(rows):
    """Flat positions of every patch, the last one's lanes reaching into the padding."""
    height, width = rows.shape[0], (rows.shape[1] - patches.PADDING) // 3
    return [y * rows.shape[1] + 3 * x for y in range(height - PATCH + 1) for x in range(width - PATCH + 1)]


@pytest.mark.parametrize("part", ROWS)
def test_distances_are_those_of_the_plain_path_and_of_numpy(part):
    vector, loops = patches._distance_of_rows(*ROWS[part]), plain.distance_of_rows(*ROWS[part])
    compiled = njit(lambda a, i, b, j: vector(a, np.int64(i), b, np.int64(j)))
    for kind in RANGES:
        a, b = pictures(kind, 3)
        for at_a in places(a):
            for at_b in places(b)[::5]:
                ours = compiled(a, at_a, b, at_b)
                assert ours == loops(a, at_a, b, at_b)
            first, last = ROWS[part]
            cut = [each.reshape(-1)[at:][: PATCH * each.shape[1]] for each, at in ((a, at_a), (b, at_b))]
            grids = [np.array([c[r * w : r * w + 21] for r in range(first, last)], int)
                     for c, w in zip(cut, (a.shape[1], b.shape[1]), strict=True)]  # fmt: skip
            assert ours == ((grids[0] - grids[1]) ** 2).sum()


@pytest.mark.parametrize("operation", ["add", "sub"])
def test_a_patch_is_added_and_taken_as_on_the_plain_path(operation):
    onto, loops = patches._patch_onto(operation), {"add": plain.add_patch, "sub": plain.take_patch}[operation]

    @njit
    def vector(total, at, values, at_values):
        onto(total, np.int64(at), values, np.int64(at_values))

    values, other = pictures("pixels", 5)
    for at in places(other):
        totals = [other.copy(), other.copy()]
        vector(totals[0], at, values, places(values)[7])
        loops(totals[1], at, values, places(values)[7])
        assert np.array_equal(*totals)
        assert not np.array_equal(totals[0], other)


def test_bounds_of_a_block_are_those_of_the_plain_path_and_of_numpy():
    """Whole numbers, so that no order of summation rounds; block 1's last keys lie beyond the last patch."""
    rng = np.random.default_rng(7)
    terms = rng.integers(-9, 9, (5, patches.SUMS + 1)).astype(np.float32)
    keys = rng.integers(-9, 9, (2, patches.SUMS + 2, patches.BLOCK)).astype(np.float32)
    keys[:, patches.SUMS + 1] = rng.integers(1, 4, (2, patches.BLOCK))
    keys[1, patches.SUMS, 20:] = np.inf
    vector = njit(lambda t, at, k, block, limit: patches._below(t, np.int64(at), k, np.int64(block), limit))
    seen = 0
    for at in range(5):
        for block in range(2):
            sums = keys[block, patches.SUMS] + terms[at, patches.SUMS] + terms[at, : patches.SUMS] @ keys[block, :-2]
            bounds = sums * keys[block, patches.SUMS + 1]
            for limit in [*np.unique(bounds[np.isfinite(bounds)]), -np.inf, np.inf]:
                expected = sum(1 << i for i in range(patches.BLOCK) if bounds[i] < limit)
                assert vector(terms, at, keys, block, np.float32(limit)) == expected
                assert plain.below(terms, at, keys, block, np.float32(limit)) == expected
                seen |= expected
    assert seen == 2**patches.BLOCK - 1


def test_the_lowest_bit_is_found_as_on_the_plain_path():
    vector = njit(lambda bits: patches._lowest_bit(bits))
    for bits in [1, 2, 3, 12, 2**31, 2**31 + 2**5, 2**32 - 1]:
        expected = (bits & -bits).bit_length() - 1
        assert vector(np.int64(bits)) == plain.lowest_bit(np.int64(bits)) == expected


@pytest.mark.slow
def test_a_whole_variation_is_the_same_on_the_plain_path():
    """Minutes: every kernel is compiled anew."""
    code = (
        "import torch, hashlib; from gpnncam import fill, patches, variations\n"
        "image = torch.rand(3, 40, 44, generator=torch.Generator().manual_seed(1))\n"
        "mask = torch.zeros(40, 44, dtype=torch.bool); mask[10:20, 10:24] = True\n"
        "made = [variations(image, 2, 3), variations(image, 2, 3, alpha=None), fill(image, mask, 3)]\n"
        "print(patches.PLAIN, *(hashlib.sha256(each.pixels.numpy().tobytes()).hexdigest() for each in made))\n"
    )
    said = []
    for plain_path in ("0", "1"):
        environment = os.environ | {"GPNNCAM_PLAIN": plain_path}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert [said[0][0], said[1][0]] == ["False", "True"]
    assert said[0][1:] == said[1][1:]
