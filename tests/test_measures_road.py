"""ROAD: the imputation against a dense system and another program's, the order of removal, the noise."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu

from eval.measures.ranking import ranks
from eval.measures.road import ROAD, linear_imputation, removals
from tests.measure_cases import cases, heat, picture


def dense(pixels, removed):
    """The same system with a matrix of all pixels, from the words of the paper."""
    height, width, _ = pixels.shape
    matrix, right = np.eye(height * width), pixels.reshape(-1, 3).astype(float).copy()
    for y in range(height):
        for x in range(width):
            if not removed[y, x]:
                continue
            near = {
                (y + dy, x + dx): 1 / 12 if dy and dx else 1 / 6
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width
            }
            for (v, u), weight in near.items():
                matrix[y * width + x, v * width + u] -= weight / sum(near.values())
            right[y * width + x] = 0
    return np.linalg.solve(matrix, right).reshape(pixels.shape)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_filled_pixels_are_the_means_of_their_neighbours(share):
    draw = np.random.default_rng(1)
    pixels, removed = draw.random((9, 11, 3)), draw.random((9, 11)) < share
    removed[0, 0] = True  # a corner: three neighbours
    removed[4, 4] = False
    filled = linear_imputation(pixels, removed, tolerance=1e-12)
    assert filled == pytest.approx(dense(pixels, removed), abs=1e-9)
    assert (filled[~removed] == pixels[~removed]).all()
    hidden = np.where(removed[..., None], 7.0, pixels)
    assert (linear_imputation(hidden, removed, tolerance=1e-12) == filled).all(), "what was removed is not read"


def direct(pixels, removed):
    """The same system by scipy's factorisation of a sparse matrix."""
    weights, total = [], np.zeros(removed.size)
    places = np.arange(removed.size).reshape(removed.shape)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                here = places[max(0, -dy) : removed.shape[0] - max(0, dy), max(0, -dx) : removed.shape[1] - max(0, dx)]
                there = here + dy * removed.shape[1] + dx
                weight = 1 / 12 if dy and dx else 1 / 6
                weights.append(sparse.coo_matrix((np.full(here.size, weight), (here.ravel(), there.ravel())),
                                                 (removed.size,) * 2))  # fmt: skip
                total[here.ravel()] += weight
    inner, flat = np.flatnonzero(removed), pixels.reshape(-1, 3)
    means = sparse.csr_matrix(sum(weights))[inner]
    system = sparse.diags(total[inner]) - means[:, inner]
    filled = flat.astype(float)
    filled[inner] = splu(system.tocsc()).solve(means @ (flat * ~removed.reshape(-1, 1)))
    return filled.reshape(pixels.shape)


def blobs(draw, height, width, share):
    values = ndimage.gaussian_filter(draw.normal(size=(height, width)), 8)
    return values < np.quantile(values, share)


@pytest.mark.parametrize(
    ("height", "width", "mask"),
    [
        (96, 121, lambda draw, *size: blobs(draw, *size, 0.2)),
        (96, 121, lambda draw, *size: blobs(draw, *size, 0.8)),
        (64, 47, lambda draw, *size: draw.random(size) < 0.8),
        (64, 47, lambda draw, *size: np.indices(size).sum(0) % 2 == 0),
        (60, 33, lambda draw, *size: np.indices(size).sum(0) != 70),
        (61, 90, lambda draw, *size: np.indices(size)[1] > 3),
        (1, 83, lambda draw, *size: np.arange(83)[None] % 40 > 0),
        (70, 2, lambda draw, *size: draw.random(size) < 0.95),
    ],
    ids=["a fifth", "four fifths", "scattered", "checked", "a line remains", "a side remains", "a row", "two columns"],
)
def test_the_solver_keeps_its_tolerance_whatever_is_removed(height, width, mask):
    draw = np.random.default_rng(2)
    pixels, removed = draw.random((height, width, 3)), mask(draw, height, width)
    assert linear_imputation(pixels, removed) == pytest.approx(direct(pixels, removed), abs=1.5e-7)


def test_a_solver_that_does_not_get_there_says_so():
    from eval.measures import multigrid, stencils

    removed = np.ones((40, 40), bool)
    removed[3, 5] = False
    filled = linear_imputation(np.full((40, 40, 3), 0.25), removed)
    assert filled == pytest.approx(np.full((40, 40, 3), 0.25), abs=1e-6), "one pixel remains: its colour everywhere"
    at, rows, right = stencils.neighbour_means(np.ones((40, 40, 3)), removed, 1 / 6, 1 / 12)
    with pytest.raises(ArithmeticError, match="1 steps of conjugate gradients do not solve a system of 1599 unknowns"):
        multigrid.solve(at, rows, right, removed.shape, 1e-7, most=1)


def test_another_programs_imputation_is_the_same():
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    image, removed = picture(height=24, width=24), np.zeros((24, 24), bool)
    removed[5:20, 3:17] = True
    theirs = NoisyLinearImputer(noise=0)(image, torch.tensor(~removed).float())
    ours = linear_imputation(image.permute(1, 2, 0).double().numpy(), removed)
    assert ours == pytest.approx(theirs.permute(1, 2, 0).numpy(), abs=1e-6)


def test_degenerate_removals():
    pixels = np.random.default_rng(0).random((4, 4, 3))
    assert (linear_imputation(pixels, np.zeros((4, 4), bool)) == pixels).all()
    with pytest.raises(ValueError, match="nothing remains"):
        linear_imputation(pixels, np.ones((4, 4), bool))
    for shares in ([], [0], [1], [0.4, 0.2], [0.2, 0.2]):
        with pytest.raises(ValueError, match="shares must rise"):
            ROAD(shares=shares)


def test_most_and_least_important_pixels_are_removed():
    (case,) = cases([heat(1)])
    places = ranks(case)
    masks = list(removals(places, (0.25, 0.5)))
    assert [int(mask.sum()) for mask in masks] == [256, 512, 256, 512]
    values = torch.nn.functional.interpolate(torch.tensor(case.grid)[None, None], (32, 32), mode="bilinear")[0, 0]
    for most, least in ((masks[0], masks[2]), (masks[1], masks[3])):
        assert values[most].min() >= values[~most].max() - 1e-12
        assert values[least].max() <= values[~least].min() + 1e-12


def test_rows_hold_both_curves_and_scores_are_made_of_them():
    net = cases([heat(0)])[0].classifier
    pair = cases([heat(0), np.ones((3, 3))], net=net)
    before = net.images_seen
    rows = ROAD().observe(pair)
    assert net.images_seen - before == 1 + 8
    assert rows[1] == {"whole": rows[1]["whole"], "shares": [0.2, 0.4, 0.6, 0.8], "most": None, "least": None}
    assert rows[0] == ROAD(batch=3).observe(pair)[0] | {}
    frame = pd.DataFrame(rows)
    actual = {score.name: score.value(frame, None) for score in ROAD.scores}
    most, least = np.mean(rows[0]["most"]), np.mean(rows[0]["least"])
    assert actual["road_morf"] == pytest.approx([most, np.nan], nan_ok=True)
    assert actual["road_lerf"] == pytest.approx([least, np.nan], nan_ok=True)
    assert actual["road"] == pytest.approx([(least - most) / 2, np.nan], nan_ok=True)
    shares, values = ROAD.scores[0].curve.points(frame)
    assert shares.tolist() == [0, 0.2, 0.4, 0.6, 0.8]
    assert values[0].tolist() == [rows[0]["whole"], *rows[0]["most"]]


def test_noise_is_the_pictures_own():
    made = [cases([heat(0)], seed=seed)[0] for seed in (1, 1, 2)]
    one, again, other = (next(iter(ROAD().pictures(case, ranks(case)))) for case in made)
    plain = next(iter(ROAD(noise=0).pictures((case := cases([heat(0)])[0]), ranks(case))))
    assert torch.equal(one, again)
    removed = next(iter(removals(ranks(case), (0.2,))))
    assert torch.equal(one[:, ~removed], other[:, ~removed])
    assert float((one - plain)[:, removed].std()) == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(one, other)
