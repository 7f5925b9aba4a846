"""GPNN-CAM's gradients, groups, invariances, and what it refuses; its numbers are in test_gpnncam_reference.py."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from eval.datasets.demo import Demo
from eval.game.pointing import upscale
from eval.game.protocol import Input
from eval.networks import demo
from eval.networks.classifier import Classifier
from eval.running.method_call import call, seed_for
from gpnncam.cam import GPNNCAM
from gpnncam.features import features
from tests.small_network import SIDE, classifier, copies, image, network, random_source


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
        ({"source": []}, "flip_crop"),
        ({"source": 3}, "flip_crop"),
        ({"source": ["noise", "diffusion"]}, "diffusion"),
        ({"source": ["noise", "none"]}, "include_self"),
        ({"divisor": "mean"}, "own"),
        ({"divisor": "own", "include_self": True}, "include_self"),
        ({"repeated": "first"}, "last"),
        ({"n": 4, "groups": 5}, "5 groups"),
        ({"n": 0}, "0 variations"),
        ({"alpha": 0.0}, "positive"),
        ({"depth": 4}, "depth"),
        ({"layers": []}, "no layers given"),
        ({"layers": ["2", "2"]}, "a layer is named twice in 2, 2"),
        ({"layers": ["blok"]}, "no layer 'blok'"),
        ({"batch": 0}, "batch"),
    ],
)
def test_contradicting_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GPNNCAM(classifier(), **{"source": "noise", **settings})


def test_a_layer_without_feature_maps_is_named():
    with pytest.raises(ValueError, match="'4' returns"):
        GPNNCAM(classifier(layers=["4"]), n=2, source=copies)
    with pytest.raises(ValueError, match="'4' returns"), features({"4": (net := network())[4]}):
        net(image()[None])


def test_a_layer_that_runs_twice_is_named():
    shared = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(shared, shared, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    with pytest.raises(ValueError, match="'0' runs more than once"):
        GPNNCAM(classifier(net, layers=["0"]), n=2, source=copies)(image(), torch.tensor([0]))


@pytest.mark.parametrize("first", ["shared", "other"])
def test_the_last_run_of_a_layer_that_runs_twice_can_be_read(first):
    """One shared layer against the same network with two equal ones."""

    class Twice(nn.Module):
        def __init__(self, shared):
            super().__init__()
            torch.manual_seed(2)
            self.other, self.shared, self.head = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 1), nn.Linear(4, 5)
            self.early = self.shared if shared else nn.Conv2d(4, 4, 1)
            if not shared:
                self.early.load_state_dict(self.shared.state_dict())

        def forward(self, x):
            x = self.shared(self.early(self.other(x)).relu())
            return self.head(x.relu().mean((2, 3)))

    layers = ["shared", "other"] if first == "shared" else ["other", "shared"]
    maps = [
        GPNNCAM(classifier(Twice(shared), layers=layers), n=3, source=random_source, repeated=repeated)
        for shared, repeated in ((True, "last"), (False, "refuse"))
    ]
    torch.manual_seed(0)
    seen = maps[0](image(), torch.arange(5))
    torch.manual_seed(0)
    assert torch.equal(seen, maps[1](image(), torch.arange(5)))
    assert seen.std() > 0


LAYERS = {"resnet50": ["layer4", "layer3", "layer2"], "vgg16": ["features.30", "features.23", "features.16"]}


@pytest.mark.parametrize("name", LAYERS)
def test_points_on_the_built_in_data_do_not_depend_on_batch_order_and_threads(name):
    torch.manual_seed(0)
    net = getattr(demo, name)(pretrained=demo.weights(name).is_file())
    data = Demo(count=2)
    model = Classifier(net, demo.MEAN, demo.STD, {"gpnncam": LAYERS[name]}, data.classes)

    def points(batch, indices, threads):
        method = GPNNCAM(model, n=4, batch=batch)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            actual = {}
            for sample in (data[index] for index in indices):
                targets = torch.tensor(sorted(set(sample.labels.tolist())))
                maps = call(method, Input().pixels(sample.image), targets, seed_for(0, sample.key))
                actual[sample.key] = [upscale(heat, sample.size).peak for heat in maps.numpy()]
            return actual
        finally:
            torch.set_num_threads(before)

    assert points(10, [0, 1], 1) == points(2, [1, 0], 2)
