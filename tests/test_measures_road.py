"""ROAD: the imputation against a dense system and another program's, the order of removal, the noise."""

import numpy as np
import pandas as pd
import pytest
import torch

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
    filled = linear_imputation(pixels, removed)
    assert filled == pytest.approx(dense(pixels, removed), abs=1e-9)
    assert (filled[~removed] == pixels[~removed]).all()
    hidden = np.where(removed[..., None], 7.0, pixels)
    assert (linear_imputation(hidden, removed) == filled).all(), "what was removed is not read"


def test_another_programs_imputation_is_the_same():
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    image, removed = picture(height=24, width=24), np.zeros((24, 24), bool)
    removed[5:20, 3:17] = True
    theirs = NoisyLinearImputer(noise=0)(image, torch.tensor(~removed).float())
    ours = linear_imputation(image.permute(1, 2, 0).double().numpy(), removed)
    assert ours == pytest.approx(theirs.permute(1, 2, 0).numpy(), abs=1e-4)


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
