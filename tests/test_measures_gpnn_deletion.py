"""Deletion with generated filling: what is filled, what it costs, and where it comes from."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from eval.measures.gpnn_deletion import GpnnDeletion
from eval.measures.ranking import ranks
from eval.measures.road import removals
from eval.records.wording import as_words
from eval.running.config import load
from eval.running.measuring import build_measures
from tests.measure_cases import cases, heat, picture
from tests.small_network import classifier


def test_the_configs_measure_fills_from_what_remains():
    measure = build_measures(load(["measure=gpnn_deletion"]))["gpnn_deletion"].measure
    net = classifier()
    case, constant = cases([heat(0), np.ones((2, 2))], image=picture(height=48, width=48), net=net)
    rows = measure.observe([case, constant])
    assert net.images_seen == 9
    assert rows[1] == dict.fromkeys(measure.fields) | {"whole": rows[1]["whole"], "shares": [0.2, 0.4, 0.6, 0.8]}
    masks, result = measure.filled(case, ranks(case))
    for mask, pixels in zip(masks, result.pixels, strict=True):
        assert torch.equal(pixels[:, ~mask], case.image[:, ~mask])
        assert not torch.equal(pixels[:, mask], case.image[:, mask])
    again = measure.filled(case, ranks(case))[1]
    assert torch.equal(again.pixels, result.pixels), "drawn from the picture's seed"


def test_a_table_names_the_generator_and_not_how_it_is_built():
    build = {"fill": {"_target_": "gpnncam.fill", "_partial_": True, "sigma": 3.0}, "shares": [0.2]}
    assert as_words(build) == ["fill=gpnncam.fill", "sigma=3.0", "shares=[0.2]"]


def test_probabilities_and_origins_of_a_filling_that_is_known():
    def fill(image, masks, seed):
        assert seed == 5
        pixels = torch.where(masks[:, None], 0.25, image)
        field = torch.full((len(masks), 26, 26, 2), -1)
        field[:, :, :13] = torch.tensor([9, 8])  # its centre (12, 11) lies in the region
        field[:, :, 13:] = torch.tensor([20, 20])
        field[0] = -1
        return SimpleNamespace(pixels=pixels, field=field)

    net = classifier()
    (case,) = cases([heat(2)], net=net, targets=[3])
    (row,) = GpnnDeletion(fill, shares=(0.3, 0.7)).observe([case])
    masks = list(removals(ranks(case), (0.3, 0.7)))
    with torch.no_grad():
        pictures = torch.stack([case.image, *(torch.where(mask, 0.25, case.image) for mask in masks)])
        expected = net.network(net.normalise(pictures)).double().softmax(1)[:, 3].tolist()
    assert [row["whole"], *row["most"], *row["least"]] == pytest.approx(expected, abs=1e-6)
    shares = [float(mask[3:29, 3:16].sum() / mask[3:29, 3:29].sum()) for mask in masks]
    assert row["most_from_region"] == [None, pytest.approx(shares[1])]
    assert row["least_from_region"] == pytest.approx(shares[2:])
    scores = {score.name: score.value(pd.DataFrame([row]), None)[0] for score in GpnnDeletion.scores}
    assert scores["gpnn_deletion"] == pytest.approx((np.mean(row["least"]) - np.mean(row["most"])) / 2)
    assert np.isnan(scores["gpnn_deletion_returned"])
