"""Randomisation, stability, similarity: against scipy and scikit-image, and the failure and the pass that are known."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity
from torch import nn

from eval.game.pointing import upscale
from eval.measures.randomisation import Randomisation, blocks_of, redrawn, stages_of, swapped
from eval.measures.similarity import outlines, spearman, ssim
from eval.measures.stability import MaxSensitivity, Stability
from eval.networks import demo
from eval.networks.classifier import Classifier
from eval.running.config import load
from eval.running.job import evaluate_job
from tests.measure_cases import cases, heat, picture
from tests.small_network import classifier, network


def value(measure, rows, name=None):
    score = next(each for each in measure.scores if name in (None, each.name))
    return score.value(pd.DataFrame(rows), None)


def test_similarities_against_other_programs():
    draw = np.random.default_rng(0)
    a = upscale(draw.normal(size=(7, 7)), (64, 64)).values
    b = upscale(draw.normal(size=(7, 7)), (64, 64)).values + 0.3 * a
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    tied = np.floor(3 * a)
    assert spearman(tied, b) == pytest.approx(stats.spearmanr(tied.ravel(), b.ravel()).statistic)
    one, two = ((each - each.min()) / np.ptp(each) for each in (a, b))
    assert ssim(a, b) == pytest.approx(structural_similarity(one, two, data_range=1))
    assert outlines(a, b) == pytest.approx(outlines(b, a))
    assert outlines(a, b) < 0.9
    for how in (spearman, ssim, outlines):
        assert how(a, a) == pytest.approx(1)
        assert how(a, 5 * a - 100) == pytest.approx(1, abs=1e-6), "a map's scale means nothing"
        assert how(a, np.ones_like(a)) is None
    assert spearman(a, -a) == pytest.approx(-1)
    assert outlines(a[:40], b[:40]) is None
    assert ssim(a[:5], b[:5]) is None


def test_stages_follow_the_networks_blocks_from_the_output():
    resnet, vgg = demo.resnet50(), demo.vgg16()
    assert blocks_of(resnet) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    names = blocks_of(vgg)
    assert len(names) == 14
    assert names[-1] == "classifier"
    expected = [["fc"], ["layer4"], ["layer3"], ["layer2"], ["layer1"], ["bn1", "conv1"]]
    assert stages_of(resnet, 6) == expected
    for most in (1, 3, 6, 99):
        stages = stages_of(vgg, most)
        assert len(stages) == min(most, 14)
        assert list(itertools.chain(*stages)) == names[::-1]
    wrapped = torch.nn.Sequential(torch.nn.Identity(), resnet)
    assert blocks_of(wrapped) == [f"1.{name}" for name in blocks_of(resnet)]


def test_layers_are_redrawn_as_the_publication_says():
    resnet = demo.resnet50()
    drawn = redrawn(resnet, "layer4", torch.Generator().manual_seed(0), 0.01)
    state = {name: each for name, each in resnet.state_dict().items() if name.startswith("layer4.")}
    assert drawn.keys() == state.keys()
    weights = drawn["layer4.0.conv2.weight"]
    assert weights.abs().max() <= 0.02
    assert float(weights.std()) == pytest.approx(0.0088, rel=0.02)  # a normal cut at two deviations
    assert (drawn["layer4.0.bn1.running_var"] == 1).all()
    assert (drawn["layer4.0.bn1.weight"] == 1).all()
    for name in ("layer4.0.bn1.running_mean", "layer4.0.bn1.bias"):
        assert not drawn[name].any()
    assert not redrawn(resnet, "fc", torch.Generator(), 0.01)["fc.bias"].any()


def test_weights_are_exchanged_and_come_back_also_after_an_error():
    net = network()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    places = {name: (each.data_ptr(), each._version) for name, each in net.named_parameters()}
    drawn = redrawn(net, "2", torch.Generator().manual_seed(0), 0.01)
    with pytest.raises(KeyError), swapped(net, drawn):  # noqa: PT012 - the error inside is the case
        assert not torch.equal(net.get_parameter("2.0.weight"), before["2.0.weight"])
        raise KeyError
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert {name: (each.data_ptr(), each._version) for name, each in net.named_parameters()} == places


def of_network(net):
    """A method whose map is the class's weights on the last activations: it sees every layer."""

    def method(image, targets, seed):
        with torch.no_grad():
            features = net.network[:3](net.normalise(image))[0]
            return torch.einsum("kc,chw->khw", net.network[-1].weight[list(targets)], features).double().numpy()

    return method


def test_stages_cascade_or_stand_alone_and_the_first_is_the_control():
    net = classifier()
    method = of_network(net)
    pair = cases(method(picture(), [0, 1], 0), net=net, method=method)
    cascading, single = (Randomisation(order=order, most=3).observe(pair) for order in ("cascading", "single"))
    for rows in (cascading, single):
        assert rows[0]["stages"] == ["", "5", "2", "1 0"]
        for row in rows:
            assert row["spearman"][0] == row["ssim"][0] == 1
            assert row["hog"] == [None] * 4, "32 pixels are too few for outlines"
    assert cascading[0]["spearman"][1] == single[0]["spearman"][1]
    assert cascading[0]["spearman"][2:] != single[0]["spearman"][2:]
    again = Randomisation(most=3)
    assert again.observe(pair) == again.observe(pair) == cascading, "drawn once, from the seed alone"
    assert Randomisation(most=3, seed=1).observe(pair) != cascading
    assert method(picture(), [0], 0) == pytest.approx(pair[0].grid[None])
    named = Randomisation(blocks=["5", "0"]).observe(pair)[0]["stages"]
    assert named == ["", "5", "0"]
    with pytest.raises(ValueError, match="no layer 'layer4'"):
        Randomisation(blocks=["layer4"]).observe(pair)


def test_scores_are_of_the_upper_half_of_the_stages():
    rows = [{"spearman": [1.0, -0.5, 0.3, 0.9, 0.9]}, {"spearman": [1.0, None, 0.4, 0.0, 0.0]}, {"spearman": None}]
    assert value(Randomisation(), rows) == pytest.approx([0.4, 0.2, np.nan], nan_ok=True)
    assert value(Randomisation(), rows, "randomisation_signed") == pytest.approx([-0.1, 0.2, np.nan], nan_ok=True)
    assert not any(score.ranked for score in Randomisation.scores)
    shares, drawn = Randomisation.scores[0].curve.points(pd.DataFrame(rows))
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert drawn[:2].tolist() == [[1, 0.5, 0.3, 0.9, 0.9], [1, 0, 0.4, 0, 0]], "the page draws what the score counts"
    assert np.isnan(drawn[2]).all()


def test_gradcam_passes_and_guided_backprop_fails(tmp_path):
    from eval.records.loading import load_run

    actual = {}
    for method in ("gradcam", "guided_backprop"):
        settings = ["measure=randomisation", "measure.randomisation.most=4", "limit=1", "compare=false"]
        outcome = evaluate_job(load([f"method={method}", *settings, f"results={tmp_path}"]))
        (observed,) = load_run(outcome.folders[0]).observations
        actual[method] = float(np.mean(value(Randomisation(), observed.lines.to_dict("records"))))
    limit = Randomisation.scores[0].passes_below
    assert actual["gradcam"] < limit, actual
    assert actual["guided_backprop"] >= limit, actual


def test_stability_measures_points_and_maps_of_other_seeds():
    seen = []

    def method(image, targets, seed):
        seen.append(seed)
        return np.random.default_rng(seed % 1000).normal(size=(len(targets), 8, 8))

    pair = cases([heat(0, 8), heat(1, 8)], method=method)
    rows = Stability(seeds=3).observe(pair)
    assert len(set(seen)) == 3
    assert pair[0].seed not in seen
    answers = [np.random.default_rng(seed % 1000).normal(size=(2, 8, 8)) for seed in seen]
    for number, (row, case) in enumerate(zip(rows, pair, strict=True)):
        peaks = [upscale(each[number], (32, 32)).peak for each in answers]
        assert list(zip(row["xs"], row["ys"], strict=True)) == peaks
        moved = np.mean([np.hypot(x - case.point[0], y - case.point[1]) for x, y in peaks])
        frame = [row | {"x": case.point[0], "y": case.point[1]}]
        assert value(Stability(), frame)[0] == pytest.approx(moved)
        alike = [stats.spearmanr(case.grid.ravel(), each[number].ravel()).statistic for each in answers]
        assert value(Stability(), frame, "stability_map")[0] == pytest.approx(np.mean(alike))


def test_max_sensitivity_of_a_map_that_is_the_picture():
    def method(image, targets, seed):
        assert seed == 5, "the method's own seed stays"
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
        return image.mean(0).double().numpy()[None].repeat(len(targets), 0)

    image = picture()
    (case,) = cases(method(image, [0], 5), image=image, method=method)
    (row,) = MaxSensitivity(radius=0.1, draws=6).observe([case])
    assert len(set(row["changes"])) == 6
    # The mean of three uniform values in +-0.1 has deviation 0.1 / 3.
    expected = 0.1 / 3 * 32 / np.linalg.norm(case.grid)
    assert row["changes"] == pytest.approx([expected] * 6, rel=0.15)
    assert value(MaxSensitivity(), [row])[0] == max(row["changes"])
    zeros = cases(np.zeros((1, 4, 4)), method=lambda *_: np.ones((1, 4, 4)))
    assert MaxSensitivity().observe(zeros)[0] == {"changes": None}


def test_methods_that_read_no_pixels_have_none_of_these():
    for measure in (Randomisation(), Stability(), MaxSensitivity()):
        (row,) = measure.observe(cases([heat(0)]))
        assert set(row.values()) == {None}
        assert np.isnan(value(measure, [row | {"x": 0.0, "y": 0.0}])).all()


def test_a_transformers_class_token_and_table_of_positions_are_drawn_in_the_last_stage():
    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.token = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.ones(1, 1, 8))
            self.table = nn.Parameter(torch.ones(1, 10, 8))
            self.blocks, self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)), nn.Linear(8, 2)

        def forward(self, pixels):
            tokens = self.patch(pixels).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1) + self.table
            return self.head(self.blocks(tokens).mean(1))

    made = Classifier(Vit(), [0] * 3, [1] * 3, {}, ["a", "b"], side=24)
    stages = Randomisation(most=3, seed=1)._stages(made)
    drawn = [set(values) for _, values in stages]
    assert {"token", "table"} <= drawn[-1]
    assert not any({"token", "table"} & names for names in drawn[:-1])
    assert set.union(*drawn) == set(dict(made.network.named_parameters()))
    for name in ("token", "table"):
        values = stages[-1][1][name]
        assert 0 < values.abs().max() <= 0.02
        assert values.std() > 0
    chosen = Randomisation(blocks=["head"])._stages(made)
    assert set(chosen[0][1]) == {"head.weight", "head.bias"}, "blocks that are named are all that is drawn"
