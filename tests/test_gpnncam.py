"""GPNN-CAM's arithmetic on networks small enough to know the answer."""

import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from eval.classifier import Classifier
from gpnncam.cam import GPNNCAM
from gpnncam.features import features

SIDE = 32


def network(seed=0, linear_head=True):
    """Three blocks at 16, 8 and 4 pixels a side; the head is global average pooling, linear or with a hidden layer."""
    torch.manual_seed(seed)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head += [nn.Linear(12, 5)] if linear_head else [nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 5)]

    def block(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))

    return nn.Sequential(block(3, 6), block(6, 8), block(8, 12), *head)


def classifier(net=None, layers=("2", "1", "0"), **kwargs):
    net = network() if net is None else net
    return Classifier(net, [0.5] * 3, [0.25] * 3, {"gpnncam": list(layers)}, [f"c{i}" for i in range(5)], **kwargs)


def random_source(image, n, seed):
    pixels = torch.rand(n, *image.shape, generator=torch.Generator().manual_seed(seed % 2**31))
    return SimpleNamespace(pixels=pixels.to(image))


def copies(image, n, seed):
    return SimpleNamespace(pixels=image.expand(n, -1, -1, -1))


def image(seed=1):
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def gradcam(net, pixels, target):
    """Ten lines of autograd: ReLU(sum_k mean(dy/dA_k) A_k), as its paper writes it."""
    x = net[:3](pixels[None]).detach().requires_grad_()
    net[3:](x)[0, target].backward()
    return (x.grad.mean((2, 3), keepdim=True) * x).sum(1).relu()[0].detach()


def sigmoid_of_share(heat):
    return torch.sigmoid(heat / heat.max() - 0.5)


def positive_pairs(net, pixels):
    """Classes whose GradCAM is not empty: an empty one would compare nothing."""
    normal = (pixels - 0.5) / 0.25
    return [t for t in range(5) if gradcam(net, normal, t).max() > 0], normal


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


def test_head_gradients_equal_full_autograd():
    net = network(linear_head=False).double()
    layers = {"2": net[2], "1": net[1], "0": net[0]}
    pixels = torch.rand(4, 3, SIDE, SIDE, dtype=torch.float64)
    with features(layers) as seen:
        output = net.requires_grad_(False)(pixels)
        gradient = torch.autograd.grad(output[:, 3].sum(), seen.leaf)[0]
        kept = {name: layer.clone() for name, layer in seen.layers.items()}
    net.requires_grad_(True)
    stages = [net[0](pixels)]
    stages += [net[1](stages[0])]
    stages += [net[2](stages[1])]
    expected = torch.autograd.grad(net[3:](stages[2])[:, 3].sum(), stages[2])[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)
    for name, stage in zip("012", stages, strict=True):
        torch.testing.assert_close(kept[name], stage.detach(), rtol=0, atol=0)


def test_head_gradients_before_an_in_place_network():
    """The layer's own output is overwritten behind it (`out += identity`): activations and gradients must not be."""

    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            out = self.norm(x)
            out += 100
            return out.square().mean((2, 3))

    net = InPlace().eval()
    x = torch.rand(2, 4, 3, 3)
    with features({"norm": net.norm}) as seen:
        gradient = torch.autograd.grad(net(x).sum(), seen.leaf)[0]
        activations = seen.layers["norm"].clone()
    torch.testing.assert_close(activations, net.norm(x).detach())
    torch.testing.assert_close(gradient, 2 * (activations + 100) / 9)


def test_groups_are_independent_and_averaged():
    """Two groups answer with the mean of what each answers alone."""
    drawn = random_source(image(), 6, 0).pixels
    parts = [drawn, drawn[:3], drawn[3:]]
    both, first, second = (
        GPNNCAM(classifier(), n=len(p), groups=g, source=lambda i, n, s, p=p: SimpleNamespace(pixels=p))(
            image(), torch.arange(5)
        )
        for p, g in zip(parts, (2, 1, 1), strict=True)
    )
    torch.testing.assert_close(both, (first + second) / 2)
    assert (first - second).abs().max() > 1e-3


def second_implementation(net, pixels, variations, target, phase1, fusion, include_self, alpha):
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
        return [m / maps[0].max() for m in maps]

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
        maps = [[heat / heat.max(), alone / heat.max()]]
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


def test_memory_of_the_graph_ends_with_the_call():
    model = classifier()
    cam = GPNNCAM(model, n=3, source=random_source)
    result = cam(image(), torch.tensor([0, 1]))
    assert not result.requires_grad
    assert result.dtype == torch.float32
    assert result.shape == (2, 16, 16)
    assert all(not module._forward_hooks for module in model.network.modules())


def test_no_hook_is_left_when_the_network_raises():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            self.layer(x)
            raise RuntimeError("broken")

    model = classifier(Broken(), layers=["layer"])
    with pytest.raises(RuntimeError, match="broken"):
        GPNNCAM(model, n=2, source=copies)(image(), torch.tensor([0]))
    assert not model.network.layer._forward_hooks


def test_all_zero_maps_stay_constant():
    """A class that nothing speaks for gets a constant map, not rounding divided by its own maximum."""
    net = network()
    net[-1].weight.data[2] = -net[-1].weight.data[2].abs()
    heat = GPNNCAM(classifier(net), n=4, source=random_source)(image(), torch.tensor([2]))
    assert heat.min() == heat.max()
    assert heat.isfinite().all()


def test_black_picture_without_variations_is_finite():
    heat = GPNNCAM(classifier(), source="none")(torch.zeros(3, SIDE, SIDE), torch.arange(5))
    assert heat.isfinite().all()


@pytest.mark.parametrize("source", ["noise", "flip_crop", "none", random_source])
@pytest.mark.parametrize("phase1", ["average_gradient", "ridge"])
def test_batch_order_and_threads_do_not_change_the_map(source, phase1):
    model = classifier(network(linear_head=False))
    targets = torch.tensor([0, 3, 4])

    def run(batch, targets=targets, threads=1):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            torch.manual_seed(11)
            return GPNNCAM(model, n=7, groups=2, source=source, phase1=phase1, batch=batch)(image(), targets)
        finally:
            torch.set_num_threads(before)

    reference = run(10)
    for other in (run(1), run(3), run(10, threads=2), run(4, targets.flip(0)).flip(0)):
        torch.testing.assert_close(other, reference, rtol=0, atol=2e-5)
    torch.testing.assert_close(run(10, targets[:1]), reference[:1], rtol=0, atol=2e-5)


def test_the_seed_comes_from_the_global_generator():
    cam = GPNNCAM(classifier(), n=3, source="noise")
    torch.manual_seed(5)
    first = cam(image(), torch.tensor([1]))
    torch.manual_seed(5)
    assert torch.equal(first, cam(image(), torch.tensor([1])))
    assert not torch.equal(first, cam(image(), torch.tensor([1])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phase1": "gradcam"}, "average_gradient, ridge"),
        ({"fusion": "mean"}, "sigmoid_product"),
        ({"source": "diffusion"}, "flip_crop"),
        ({"n": 4, "groups": 5}, "5 groups"),
        ({"n": 0}, "0 variations"),
        ({"alpha": 0.0}, "positive"),
        ({"depth": 4}, "depth"),
        ({"layers": []}, "one or more"),
        ({"layers": ["2", "2"]}, "different"),
        ({"layers": ["blok"]}, "no layer 'blok'"),
        ({"batch": 0}, "batch"),
    ],
)
def test_contradicting_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GPNNCAM(classifier(), **{"source": "noise", **settings})


def test_a_layer_without_feature_maps_is_named():
    with pytest.raises(RuntimeError, match="'4' returns"):
        GPNNCAM(classifier(layers=["4"]), n=2, source=copies)(image(), torch.tensor([0]))


def test_a_layer_that_runs_twice_is_named():
    shared = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(shared, shared, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    with pytest.raises(RuntimeError, match="'0' runs more than once"):
        GPNNCAM(classifier(net, layers=["0"]), n=2, source=copies)(image(), torch.tensor([0]))
