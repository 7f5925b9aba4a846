"""Both phases on one picture at several sizes, against a second implementation by scikit-learn and autograd."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from gpnncam import MultiscaleCAM, wrap
from gpnncam.cam import GPNNCAM
from gpnncam.multiscale import SCORES
from tests.small_network import SIDE, classifier, gradcam, image, network, positive_pairs

TARGETS = torch.tensor([0, 1, 2, 3, 4])


def resized(values, size):
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return functional.interpolate(values, size, mode="bilinear", align_corners=False)


def reference(net, picture, target, sides, mirrored, depth, score="logit"):
    """The answer in float64, copy by copy, with another library's ridge regression."""
    net = net.double()
    copies = []
    for side in sides:
        for turn in (False, True)[: 1 + (side in mirrored)]:
            pixels = functional.interpolate(
                picture[None].double(), (side, side), mode="bilinear", align_corners=False, antialias=True
            )
            pixels = pixels.flip(-1) if turn else pixels
            layers = [pixels.sub(0.5).div(0.25)]
            for block in net[:3]:
                layers.append(block(layers[-1]))
            leaf = layers[3].detach().requires_grad_()
            logits = net[3:](leaf)[0]
            (logits[target] if score == "logit" else logits.softmax(0)[target].log()).backward()
            copies.append([turn, [layer.detach() for layer in layers[:0:-1]], leaf.grad.sum((2, 3), keepdim=True)])
    raw = [(layers[0] * weights).sum(1, keepdim=True).relu() for _, layers, weights in copies]
    maps = [[each / (max(one.max() for one in raw) or 1)] for each in raw]
    for place in range(1, depth):
        wanted, found = [], []
        for (_, layers, _), known in zip(copies, maps, strict=True):
            product = torch.ones(1, dtype=torch.float64)
            for one in known:
                product = product * resized(torch.sigmoid(one - 0.5), layers[place].shape[2:])
            wanted.append(product.flatten().numpy())
            found.append(layers[place][0].flatten(1).T.numpy())
        scaler = StandardScaler().fit(np.concatenate(found))
        fit = Ridge(alpha=1e-4, solver="cholesky").fit(scaler.transform(np.concatenate(found)), np.concatenate(wanted))
        predicted = [scaler.transform(each) @ fit.coef_ for each in found]
        # A constant target (no positive evidence) is predicted as 0 but for rounding.
        predicted = [np.where(each > 1e-9, each, 0) for each in predicted]
        highest = max(each.max() for each in predicted) or 1
        for known, each, (_, layers, _) in zip(maps, predicted, copies, strict=True):
            known.append(torch.from_numpy(each / highest).view(1, 1, *layers[place].shape[2:]))
    finest = max((known[-1].shape[2:] for known in maps), key=lambda size: size[0])
    total = 0
    for (turn, *_), known in zip(copies, maps, strict=True):
        fused = torch.ones(1, dtype=torch.float64)
        for one in known:
            fused = fused * resized(torch.sigmoid(one - 0.5), known[-1].shape[2:])
        total = total + resized(fused.flip(-1) if turn else fused, finest)
    return (total / len(copies))[0, 0]


@pytest.mark.parametrize("linear", [True, False], ids=["linear head", "hidden layer"])
@pytest.mark.parametrize(("sides", "mirrored"), [([32], []), ([32, 48], [48]), ([64, 24, 32], [64, 32])])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_against_a_second_implementation(linear, sides, mirrored, depth):
    cam = MultiscaleCAM(classifier(network(linear_head=linear)), sides, mirrored, depth=depth, score="logit")
    found = cam(image(), TARGETS)
    assert (found.std((1, 2)) > 0).sum() > 1, "constant maps compare nothing"
    for row, target in zip(found, TARGETS.tolist(), strict=True):
        expected = reference(network(linear_head=linear), image(), target, sides, mirrored, depth)
        torch.testing.assert_close(row, expected.float(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("linear", [True, False])
def test_the_score_may_be_the_probability(linear):
    cams = [MultiscaleCAM(classifier(network(linear_head=linear)), [32, 48], score=name) for name in SCORES]
    usual, found = (cam(image(), TARGETS) for cam in cams)
    assert (usual - found).abs().max() > 1e-3
    for row, target in zip(found, TARGETS.tolist(), strict=True):
        expected = reference(network(linear_head=linear), image(), target, [32, 48], [], 3, "probability")
        torch.testing.assert_close(row, expected.float(), rtol=1e-3, atol=1e-5)


def test_one_size_is_both_phases_on_the_picture_alone():
    model = classifier()
    torch.testing.assert_close(
        MultiscaleCAM(model, [SIDE], score="logit")(image(), TARGETS),
        GPNNCAM(model, source="none")(image(), TARGETS),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("build", [lambda net: MultiscaleCAM(net, [32, 48]), lambda net: GPNNCAM(net, source="none")])
def test_no_class_has_no_map_and_a_list_of_classes_is_one(build):
    cam = build(classifier())
    size = cam(image(), TARGETS).shape[1:]
    for none in ([], torch.tensor([], dtype=torch.long)):
        assert cam(image(), none).shape == (0, *size)
    assert torch.equal(cam(image(), [3, 1]), cam(image(), torch.tensor([3, 1])))


def test_one_size_and_one_layer_is_gradcam():
    net = network()
    classes, pixels = positive_pairs(net, image())
    found = MultiscaleCAM(classifier(net), [SIDE], depth=1, score="logit")(image(), torch.tensor(classes))
    for row, target in zip(found, classes, strict=True):
        heat = gradcam(net, pixels, target)
        torch.testing.assert_close(row, torch.sigmoid(heat / heat.max() - 0.5))


def test_a_mirrored_picture_has_the_mirrored_map_where_every_side_is_seen_both_ways():
    cam = MultiscaleCAM(classifier(), [32, 48], [32, 48])
    torch.testing.assert_close(cam(image().flip(-1), TARGETS), cam(image(), TARGETS).flip(-1), rtol=1e-4, atol=1e-5)


def test_the_shorter_side_counts_and_passes_are_those_of_the_copies():
    model = classifier()
    cam, seen, before = MultiscaleCAM(model, [32, 64], [32]), [], model.area_seen
    handle = model.network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    cam(torch.rand(3, 40, 60), TARGETS)
    handle.remove()
    assert seen == [(1, 3, 32, 48)] * 2 + [(1, 3, 64, 96)]
    assert model.area_seen - before == 2 * 32 * 48 + 64 * 96


def test_explain_gives_it_the_largest_side():
    cam = MultiscaleCAM(wrap(network(), layers=["2", "1", "0"], side=SIDE), [32, 96])
    shapes = []
    handle = cam.classifier.network.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape[-1]))
    answer = cam.explain(torch.rand(3, 200, 300), targets=[0, 3])
    handle.remove()
    assert shapes == [SIDE, 32, 96], "the network's own answer, then the copies"
    assert answer.heat.shape == (2, 200, 300)
    assert cam.side == 96


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sides": []}, "sides are"),
        ({"sides": [32, 32]}, "sides are"),
        ({"sides": [0]}, "sides are"),
        ({"sides": [32], "mirrored": [48]}, "mirrored is"),
        ({"alpha": 0}, "alpha"),
        ({"fusion": "mean"}, "fusion"),
        ({"score": "odds"}, "score"),
        ({"depth": 4}, "depth is 4"),
        ({"layers": ["2", "2"]}, "named twice"),
        ({"repeated": "first"}, "repeated"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiscaleCAM(classifier(), **settings)


def test_a_network_of_one_size_is_refused_before_the_first_picture():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, pixels):
            assert pixels.shape[-1] == SIDE, "wrong size"
            return self.body(pixels)

    fixed = wrap(Fixed(), layers=["body.2", "body.1", "body.0"], side=SIDE)
    for sides, refused in (([48, 64], 48), ([SIDE, 64], 64)):
        with pytest.raises(ValueError, match=f"takes no picture of {refused} x {refused} pixels: wrong size"):
            MultiscaleCAM(fixed, sides)


def test_a_network_that_is_sure_of_its_answer_has_its_map_all_the_same():
    """With a share that rounds to 1, the gradient of its logarithm is all rounding in single precision."""

    def sure():
        net = network()
        with torch.no_grad():
            logits = net((image()[None] - 0.5) / 0.25)[0] - net[5].bias
            first, second = logits.topk(2).values
            net[5].bias.zero_()
            net[5].weight.mul_(20 / (first - second))
        return net, int(logits.argmax())

    net, target = sure()
    assert net((image()[None] - 0.5) / 0.25).softmax(1).max() == 1
    found = MultiscaleCAM(classifier(net), [SIDE], depth=1, score="probability")(image(), torch.tensor([target]))[0]
    assert found.std() > 0
    expected = reference(sure()[0], image(), target, [SIDE], [], 1, "probability")
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)
