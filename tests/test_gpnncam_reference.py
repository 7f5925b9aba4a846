"""GPNN-CAM against GradCAM where theory says they agree, against a second implementation, and on a planted object."""

import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from eval.networks.classifier import Classifier
from gpnncam.cam import GPNNCAM
from tests.small_network import SIDE, classifier, copies, gradcam, image, network, positive_pairs, random_source


def sigmoid_of_share(heat):
    return torch.sigmoid(heat / heat.max() - 0.5)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("include_self", [False, True])
def test_identical_variations_give_gradcam(groups, include_self):
    net = network(linear_head=False)
    cam = GPNNCAM(classifier(net), n=6, groups=groups, depth=1, source=copies, include_self=include_self)
    targets, normal = positive_pairs(net, image())
    assert len(targets) >= 2
    maps = cam(image(), torch.tensor(targets))
    for heat, target in zip(maps, targets, strict=True):
        torch.testing.assert_close(heat, sigmoid_of_share(gradcam(net, normal, target)), rtol=1e-5, atol=1e-6)


def test_linear_head_makes_phase_one_gradcam_whatever_the_variations():
    net = network(linear_head=True)
    cam = GPNNCAM(classifier(net), n=7, depth=1, source=random_source, fusion="product")
    targets, normal = positive_pairs(net, image())
    assert len(targets) >= 2
    for heat, target in zip(cam(image(), torch.tensor(targets)), targets, strict=True):
        expected = gradcam(net, normal, target)
        torch.testing.assert_close(heat / heat.max(), expected / expected.max(), rtol=1e-4, atol=1e-5)


def second_implementation(net, pixels, variations, target, phase1, fusion, include_self, alpha, own_maximum=False):
    """GPNN-CAM of one group and one class, all samples in one matrix, regressions by scikit-learn; (h,w)."""
    rows = torch.cat([pixels[None], variations]) if include_self else variations
    used, own = [], []
    x, mine = (rows - 0.5) / 0.25, (pixels[None] - 0.5) / 0.25
    for module in net[:3]:
        x, mine = module(x).detach(), module(mine).detach()
        used.insert(0, x)
        own.insert(0, mine)
    leaf = used[0].clone().requires_grad_()
    net[3:](leaf)[:, target].sum().backward()
    weights = leaf.grad.mean((2, 3))

    def regress(layer, alone, values):
        flat = layer.double().movedim(1, -1).reshape(-1, layer.shape[1]).numpy()
        scaler = StandardScaler().fit(flat)
        ridge = Ridge(alpha, solver="svd").fit(scaler.transform(flat), values.flatten().numpy())
        maps = []
        for some in (layer, alone):
            flat = scaler.transform(some.double().movedim(1, -1).reshape(-1, layer.shape[1]).numpy())
            maps.append(
                torch.from_numpy(ridge.predict(flat) - ridge.intercept_).relu().view(len(some), *some.shape[2:])
            )
        return [maps[0] / maps[0].max(), maps[1] / maps[own_maximum].max()]

    def together(maps, size):
        if fusion == "sigmoid_product":
            maps = [(m - 0.5).sigmoid() for m in maps]
        maps = [functional.interpolate(m[:, None], size, mode="bilinear")[:, 0] for m in maps]
        return sum(maps) if fusion == "sum" else math.prod(maps)

    if phase1 == "ridge":
        heat = (weights[:, :, None, None] * used[0]).sum(1).relu().double()
        maps = [regress(used[0], own[0], heat / heat.max())]
    else:
        w = weights.mean(0)[:, None, None]
        heat, alone = ((w * a).sum(1).relu().double() for a in (used[0], own[0]))
        maps = [[heat / heat.max(), alone / (alone if own_maximum else heat).max()]]
    for layer, alone in zip(used[1:], own[1:], strict=True):
        maps.append(regress(layer, alone, together([m[0] for m in maps], layer.shape[2:])))
    return together([m[1] for m in maps], own[-1].shape[2:])[0]


@pytest.mark.parametrize("phase1", ["average_gradient", "ridge"])
@pytest.mark.parametrize("fusion", ["sigmoid_product", "product", "sum"])
@pytest.mark.parametrize("include_self", [False, True])
def test_equals_second_implementation(phase1, fusion, include_self):
    net = network(linear_head=False)
    targets, _ = positive_pairs(net, image())
    cam = GPNNCAM(
        classifier(net), n=5, source=random_source, phase1=phase1, fusion=fusion, include_self=include_self, batch=2
    )
    torch.manual_seed(0)
    maps = cam(image(), torch.tensor(targets))
    torch.manual_seed(0)
    drawn = random_source(image(), 5, int(torch.randint(2**63 - 1, ()))).pixels
    for heat, target in zip(maps, targets, strict=True):
        expected = second_implementation(net, image(), drawn, target, phase1, fusion, include_self, 1e-4)
        torch.testing.assert_close(heat, expected.float(), rtol=1e-4, atol=1e-5)
        assert heat.max() > heat.min()


@pytest.mark.parametrize("phase1", ["average_gradient", "ridge"])
def test_own_divisors_equal_second_implementation(phase1):
    """The picture's maps by their own maxima, the variations' by theirs; the regressions do not notice."""
    net = network(linear_head=False)
    targets, _ = positive_pairs(net, image())
    maps = {}
    for divisor in ("own", "variations"):
        cam = GPNNCAM(classifier(net), n=5, source=random_source, phase1=phase1, divisor=divisor)
        torch.manual_seed(0)
        maps[divisor] = cam(image(), torch.tensor(targets))
    torch.manual_seed(0)
    drawn = random_source(image(), 5, int(torch.randint(2**63 - 1, ()))).pixels
    for heat, target in zip(maps["own"], targets, strict=True):
        expected = second_implementation(
            net, image(), drawn, target, phase1, "sigmoid_product", False, 1e-4, own_maximum=True
        )
        torch.testing.assert_close(heat, expected.float(), rtol=1e-4, atol=1e-5)
    assert (maps["own"] - maps["variations"]).abs().max() > 1e-3


class Planted(nn.Module):
    """Three grids, 8, 4 and 2 cells a side, of averaged colours; the score of a class is its colour's mean."""

    def __init__(self):
        super().__init__()
        self.fine, self.middle, self.coarse = nn.AvgPool2d(4), nn.AvgPool2d(2), nn.AvgPool2d(2)

    def forward(self, x):
        return self.coarse(self.middle(self.fine(x))).mean((2, 3))


def planted(x, y, seed):
    """Dim noise with a red block of 4 x 4 pixels at cell (x, y) of the 8 x 8 grid."""
    picture = 0.05 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    picture[0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 1
    return picture


@pytest.mark.parametrize("place", [(2, 2), (5, 2), (3, 6), (4, 5)])
def test_planted_object_is_located_by_three_layers_and_not_by_one(place):
    """Of four coarse cells the right one lights up, but its peak lies towards the picture's corner."""
    model = Classifier(Planted(), [0.0] * 3, [1.0] * 3, {"gpnncam": ["coarse", "middle", "fine"]}, list("rgb"))
    places = torch.randint(8, (12, 2), generator=torch.Generator().manual_seed(3)).tolist()

    def moved(_image, n, _seed):
        return SimpleNamespace(pixels=torch.stack([planted(*places[i], i + 1) for i in range(n)]))

    def hits(depth):
        heat = GPNNCAM(model, n=12, depth=depth, source=moved)(planted(*place, 0), torch.tensor([0]))
        large = functional.interpolate(heat[None], (SIDE, SIDE), mode="bilinear")[0, 0]
        y, x = divmod(int(large.argmax()), SIDE)
        return (x // 4, y // 4) == place

    assert hits(3)
    assert not hits(1)


@pytest.mark.parametrize("groups", [1, 2])
def test_in_a_vote_the_picture_itself_votes_once_for_every_pixel(groups):
    """Second implementation of source_vote, pixel by pixel: the mean of the picture's own value and of its voters'."""
    height = width = SIDE
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    # The first variation shows every pixel at its place, the second the left half alone, mirrored into both halves.
    fields = [torch.stack([rows, columns], -1), torch.stack([rows, torch.minimum(columns, width - 1 - columns)], -1)]
    made = SimpleNamespace(pixels=random_source(image(), 2, 5).pixels, fields=fields)
    maps = {}

    class Kept(GPNNCAM):
        def _group(self, activations, gradients, group):
            maps[tuple(group.tolist())] = actual = super()._group(activations, gradients, group)
            return actual

    net = network(linear_head=False)
    targets, _ = positive_pairs(net, image())
    cam = Kept(classifier(net), n=2, groups=groups, source=lambda *_: made, source_vote=True)
    answer = cam(image(), torch.tensor(targets))
    large = {group: functional.interpolate(m, (height, width), mode="bilinear") for group, m in maps.items()}
    own = torch.stack([m[:, 0] for m in large.values()]).mean(0)
    heat = torch.cat([m[:, 1:] for _, m in sorted(large.items())], 1)
    expected = torch.empty(len(targets), height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            votes = [own[:, y, x], heat[:, 0, y, x]]
            if x < width // 2:  # shown twice by the second
                votes += [heat[:, 1, y, x], heat[:, 1, y, width - 1 - x]]
            expected[:, y, x] = torch.stack(votes).mean(0)
    torch.testing.assert_close(answer, expected.float(), rtol=1e-5, atol=1e-6)
