"""RelevanceCAM: relevance is conserved, a network computed by hand agrees, a second implementation agrees."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers

from baselines.relevance_cam import RelevanceCAM
from eval.networks.classifier import Classifier


def classifier_of(net, layers, classes, outputs=None):
    """A classifier without normalisation, so that values can be followed by hand."""
    return Classifier(net, [0, 0, 0], [1, 1, 1], {"relevance": layers}, [str(i) for i in range(classes)], outputs)


def weight(module, values):
    module.weight.data = torch.tensor(values).view_as(module.weight)
    return module


class ByHand(nn.Module):
    """Grey 1x2 pictures: features (1,2), an addition, a linear layer with two outputs."""

    def __init__(self):
        super().__init__()
        self.features = weight(nn.Conv2d(3, 1, 1, bias=False), [1.0, 0.0, 0.0])
        self.branch = weight(nn.Conv2d(1, 1, 1), [3.0])
        self.branch.bias.data.fill_(5.0)
        self.classify = weight(nn.Linear(2, 2), [2.0, 1.0, -1.0, 4.0])

    def forward(self, pixels):
        features = self.features(pixels)
        out = self.branch(features)
        out += features
        return self.classify(out.flatten(1))


@pytest.mark.parametrize(("contrastive", "others"), [(False, 0.0), (True, -0.5)])
def test_a_network_computed_by_hand(contrastive, others):
    classifier = classifier_of(ByHand(), ["features"], 2)
    image = torch.zeros(3, 1, 2)
    image[0] = torch.tensor([[1.0, 2.0]])
    # features 1, 2; branch 3 * 1 + 5 = 8, 3 * 2 + 5 = 11; sums 9, 13.
    # Output 0 has the parts 2 * 9 = 18 and 1 * 13 = 13; output 1 the parts -9 (none of it positive) and 52.
    sums = torch.tensor([18 / 31, 13 / 31 + others])
    # Back through the addition the identity gets 1/9 and 2/13; the branch, without its bias, all of the rest.
    method = RelevanceCAM(classifier, contrastive=contrastive)
    ((activations, relevance, start),) = method.relevance(image, torch.tensor([0]))
    assert start.tolist() == [[1.0, others]]
    torch.testing.assert_close(activations.flatten(), torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(relevance.flatten(), sums)
    torch.testing.assert_close(method(image, torch.tensor([0])), (sums.mean() * activations[0]))


def test_the_addition_shares_in_proportion():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = weight(nn.Conv2d(3, 2, 1, bias=False), [1.0, 0, 0, 0, 1.0, 0])

        def forward(self, pixels):
            both = self.shared(pixels)
            return (both[:, 0] + both[:, 1]).flatten(1)

    classifier = classifier_of(Two(), ["shared"], 1)
    image = torch.tensor([3.0, 1.0, 9.0]).view(3, 1, 1)
    ((_, relevance, _),) = RelevanceCAM(classifier).relevance(image, torch.tensor([0]))
    torch.testing.assert_close(relevance.flatten(), torch.tensor([0.75, 0.25]))


def randomise(net, seed=0):
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data.normal_(0, 0.05)
    return net


def vgg(norm):
    torch.manual_seed(3)
    net = VGG(make_layers([8, "M", 16, 16, "M", 32, "M"], batch_norm=norm), num_classes=10)
    net.avgpool = nn.AdaptiveAvgPool2d(2)
    net.classifier = nn.Sequential(nn.Linear(128, 40), nn.ReLU(True), nn.Dropout(), nn.Linear(40, 10))
    return net


def resnet(block):
    torch.manual_seed(3)
    return ResNet(block, [2, 1, 1, 2], num_classes=10)


NETWORKS = {
    "vgg": (lambda: vgg(False), ["features.8", "features.3"]),
    "vgg_bn": (lambda: vgg(True), ["features.12", "features.6"]),
    "resnet": (lambda: resnet(BasicBlock), ["layer4", "layer2"]),
    "resnet, bottlenecks": (lambda: resnet(Bottleneck), ["layer4", "layer2"]),
}


@pytest.mark.parametrize("contrastive", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_is_conserved(name, contrastive):
    build, layers = NETWORKS[name]
    classifier = classifier_of(randomise(build()), layers, 10)
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    read = RelevanceCAM(classifier, contrastive=contrastive).relevance(image, torch.tensor([2, 7]))
    assert len(read) == 2
    for _, relevance, start in read:
        torch.testing.assert_close(start.sum(1), torch.full((2,), 0.1 if contrastive else 1.0))
        torch.testing.assert_close(relevance.sum((1, 2, 3)), start.sum(1), rtol=1e-3, atol=1e-5)


def second_implementation(net, image, target):
    """Relevance (C,h,w) at layer2 of a ResNet of BasicBlocks, written out rule by rule."""
    net.eval()

    def shares(relevance, values, total):
        return relevance * values / torch.where(total != 0, total, torch.ones_like(total))

    def positive(conv, values, relevance):
        # alpha 1, beta 0: positive products only, no bias.
        parts = [(values.clamp(min=0), conv.weight.clamp(min=0)), (values.clamp(max=0), conv.weight.clamp(max=0))]
        total = sum(nn.functional.conv2d(v, w, None, conv.stride, conv.padding) for v, w in parts)
        ratio = relevance / torch.where(total != 0, total, torch.ones_like(total))
        return sum(v * nn.grad.conv2d_input(v.shape, w, ratio, conv.stride, conv.padding) for v, w in parts)

    def block_back(block, values, relevance):
        middle = block.relu(block.bn1(block.conv1(values)))
        branch = block.bn2(block.conv2(middle))
        identity = block.downsample(values) if block.downsample else values
        total = branch + identity
        of_branch = positive(block.conv1, values, positive(block.conv2, middle, shares(relevance, branch, total)))
        of_identity = shares(relevance, identity, total)
        if block.downsample:
            of_identity = positive(block.downsample[0], values, of_identity)
        return of_branch + of_identity

    values = [net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(image[None]))))))]
    blocks = [*net.layer3, *net.layer4]
    for block in blocks:
        values.append(block(values[-1]))
    pooled = values[-1].mean((2, 3))
    start = torch.full((1, 10), -0.1, dtype=image.dtype)
    start[0, target] = 1
    weights = net.fc.weight.clamp(min=0)
    relevance = pooled * ((start / (pooled @ weights.T)) @ weights)
    relevance = shares(relevance[:, :, None, None], values[-1], values[-1].sum((2, 3), keepdim=True))
    for block, given in zip(reversed(blocks), reversed(values[:-1]), strict=True):
        relevance = block_back(block, given, relevance)
    return relevance[0], values[0][0]


def test_a_second_implementation_agrees():
    net = randomise(resnet(BasicBlock)).double()
    classifier = classifier_of(net, ["layer2"], 10)
    image = torch.rand(3, 48, 40, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    method = RelevanceCAM(classifier)
    ((_, relevance, _),) = method.relevance(image, torch.tensor([6, 1]))
    maps = method(image, torch.tensor([6, 1]))
    with torch.no_grad():
        for row, target in enumerate((6, 1)):
            expected, activations = second_implementation(net, image, target)
            torch.testing.assert_close(relevance[row], expected, rtol=1e-4, atol=1e-9)
            weights = expected.mean((1, 2))
            torch.testing.assert_close(maps[row], torch.einsum("c,chw->hw", weights, activations), rtol=1e-4, atol=1e-9)


def test_a_class_of_several_outputs_and_maps_of_scores():
    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.relu = nn.ReLU()
            self.classify = nn.Conv2d(4, 5, 1)

        def forward(self, pixels):
            return self.classify(self.relu(self.conv(pixels)))

    torch.manual_seed(0)
    classifier = classifier_of(Spatial(), ["relu"], 2, outputs=[[0, 3], [1]])
    ((_, relevance, start),) = RelevanceCAM(classifier).relevance(torch.rand(3, 3, 4), torch.tensor([0]))
    assert start.shape == (1, 5, 3, 4)
    assert float(start[:, [0, 3]].sum()) == pytest.approx(1)
    assert float(start[:, [1, 2, 4]].sum()) == pytest.approx(-3 / 5)
    assert (start[:, [1, 2, 4]] < 0).all()
    assert relevance.shape == (1, 4, 3, 4)


@pytest.mark.parametrize("name", ["squeeze and excitation", "addition with a factor"])
def test_operations_without_a_rule_are_refused(name):
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.fc = nn.Linear(4, 2)

        def forward(self, pixels):
            features = self.conv(pixels)
            pooled = nn.functional.adaptive_avg_pool2d(features, 1)
            gated = features * pooled if name.startswith("squeeze") else torch.add(features, features, alpha=0.5)
            return self.fc(nn.functional.adaptive_avg_pool2d(gated, 1).flatten(1))

    method = RelevanceCAM(classifier_of(Gate(), ["conv"], 2))
    with pytest.raises(ValueError, match=r"no rule for '(mul|add)'"):
        method(torch.rand(3, 4, 4), torch.tensor([0]))


def test_a_layer_inside_a_residual_block():
    """The skip connection carries its share of the relevance past the layer."""
    net = randomise(resnet(BasicBlock))
    method = RelevanceCAM(classifier_of(net, ["layer4.1.bn2"], 10), contrastive=False)
    ((_, relevance, _),) = method.relevance(torch.rand(3, 48, 48), torch.tensor([0]))
    assert torch.isfinite(relevance).all()
    assert 0 < float(relevance.sum()) != pytest.approx(1)


def test_a_mobilenet_of_torchvision_has_rules():
    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v2(weights=None, num_classes=6, width_mult=0.25)
    method = RelevanceCAM(classifier_of(net, ["features.18", "features.13"], 6))
    assert method(torch.rand(3, 64, 64), torch.tensor([0, 5])).shape == (2, 4, 4)


def positive_products(layer, values, relevance):
    """R_j = sum_i (x_j w_ij)+ / sum_k (x_k w_ik)+ R_i of a linear layer, product by product."""
    products = (layer.weight * values).clamp(min=0)  # (out,in)
    return (products / products.sum(1, keepdim=True).clamp(min=1e-300) * relevance[:, None]).sum(0)


def test_negative_inputs_have_positive_products_too():
    """Behind batch norm a layer's inputs are negative as well: a negative one with a negative weight contributes."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 2)).double()
    classifier = classifier_of(net, ["0"], 2)
    classifier.mean, classifier.std = classifier.mean.double(), classifier.std.double()
    image = torch.tensor([0.2, 0.9, 0.4], dtype=torch.float64).view(3, 1, 1)
    ((_, relevance, _),) = RelevanceCAM(classifier, contrastive=False).relevance(image, torch.tensor([1]))
    first = net[0](image[None]).flatten()
    assert (first < 0).any()
    assert (first > 0).any()
    second = net[2](first)
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)
    expected = positive_products(net[2], first, positive_products(net[3], second, start))
    torch.testing.assert_close(relevance.flatten(), expected)
    assert (expected[first < 0] > 0).any(), "some of it goes to negative inputs"


@pytest.mark.parametrize(
    "pool",
    [
        lambda maps: maps.mean((2, 3)),
        lambda maps: maps.mean(3).mean(2),
        lambda maps: torch.mean(maps, dim=(2, 3)),
        lambda maps: nn.functional.avg_pool2d(maps, 4).flatten(1),
    ],
)
def test_a_mean_shares_in_proportion_as_the_pool_does(pool):
    class Pooled(nn.Module):
        def __init__(self, pool):
            super().__init__()
            torch.manual_seed(1)
            self.conv, self.fc, self.pool = nn.Conv2d(3, 5, 1), nn.Linear(5, 3), pool

        def forward(self, pixels):
            return self.fc(self.pool(self.conv(pixels).relu()))

    image, targets = torch.rand(3, 4, 4), torch.tensor([0, 2])
    layer, fully = ["conv"], {}
    for name, each in (("module", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())), ("function", pool)):
        method = RelevanceCAM(classifier_of(Pooled(each), layer, 3), contrastive=False)
        ((activations, fully[name], _),) = method.relevance(image, targets)
    torch.testing.assert_close(fully["function"], fully["module"])
    shares = fully["function"].sum(1) / activations.clamp(min=0).sum(1)
    assert shares.std() > 0, "positions get what they contributed"
