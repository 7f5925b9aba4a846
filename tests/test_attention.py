"""Attention methods against second implementations in float64 that compute attention openly."""

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from baselines.attention_maps import AttentionRollout, GradientRollout, LeGrad
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([1, 3])
SIDE, PATCH, LAYERS, HEADS, WIDTH = 24, 8, 3, 2, 12


def classifier(kind="torchvision", seed=0):
    torch.manual_seed(seed)
    network = VisionTransformer(SIDE, PATCH, LAYERS, HEADS, WIDTH, 16, num_classes=5)
    nn.init.normal_(network.heads.head.weight)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    if kind == "average":
        network.forward = None
        network = Average(network)
    made = Classifier(network.double(), [0.5] * 3, [0.5] * 3, {}, list("abcde"), side=SIDE)
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


class Average(nn.Module):
    """The same blocks, whose head reads the mean of the patches."""

    def __init__(self, network):
        super().__init__()
        self.vit = network

    def forward(self, pixels):
        tokens = self.vit._process_input(pixels)
        tokens = torch.cat([self.vit.class_token.expand(len(tokens), -1, -1), tokens], 1)
        return self.vit.heads(self.vit.encoder(tokens)[:, 1:].mean(1))


def openly(made, image):
    """Attention of every layer (heads,N,N), in the graph; the output of every block; the head as a function."""
    vit = getattr(made.network, "vit", made.network)
    tokens = vit._process_input((image[None].requires_grad_() - 0.5) / 0.5)
    tokens = torch.cat([vit.class_token, tokens], 1) + vit.encoder.pos_embedding
    weights, blocks = [], []
    for block in vit.encoder.layers:
        attention = block.self_attention
        normal = block.ln_1(tokens)[0]
        query, key, value = (normal @ attention.in_proj_weight.T + attention.in_proj_bias).split(WIDTH, 1)
        mixed, open_weights = [], []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            scores = query[:, part] @ key[:, part].T / (WIDTH // HEADS) ** 0.5
            open_weights.append(scores.softmax(1))
            mixed.append(open_weights[-1] @ value[:, part])
        weights.append(open_weights)
        tokens = tokens + attention.out_proj(torch.cat(mixed, 1))[None]
        tokens = tokens + block.mlp(block.ln_2(tokens))
        blocks.append(tokens)

    def head(values):
        normal = vit.encoder.ln(values)
        return vit.heads(normal[:, 1:].mean(1) if hasattr(made.network, "vit") else normal[:, 0])[0]

    return weights, blocks, head


def rows_read(made, matrix):
    return matrix[1:].mean(0)[1:] if hasattr(made.network, "vit") else matrix[0][1:]


@pytest.fixture
def image():
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["torchvision", "average"])
def test_rollout(kind, image):
    made = classifier(kind)
    weights, _, _ = openly(made, image)
    rollout = torch.eye(10, dtype=torch.float64)
    for heads in weights:
        rollout = (0.5 * torch.stack(heads).mean(0) + 0.5 * torch.eye(10)) @ rollout
    actual = AttentionRollout(made)(image, TARGETS)
    torch.testing.assert_close(actual[1], rows_read(made, rollout).view(3, 3).detach())
    assert torch.equal(actual[0], actual[1])
    torch.testing.assert_close(rollout.sum(1), torch.ones(10, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["torchvision", "average"])
def test_gradient_rollout(kind, image):
    made = classifier(kind)
    weights, blocks, head = openly(made, image)
    expected = []
    for target in TARGETS.tolist():
        flat = [each for heads in weights for each in heads]
        gradients = torch.autograd.grad(head(blocks[-1])[target], flat, retain_graph=True)
        relevance = torch.eye(10, dtype=torch.float64)
        for layer in range(LAYERS):
            pairs = zip(weights[layer], gradients[layer * HEADS : (layer + 1) * HEADS], strict=True)
            relevance = relevance + sum((a * g).clamp(min=0) for a, g in pairs) / HEADS @ relevance
        expected.append(rows_read(made, relevance).view(3, 3))
    torch.testing.assert_close(GradientRollout(made)(image, TARGETS), torch.stack(expected).detach())


@pytest.mark.parametrize("kind", ["torchvision", "average"])
@pytest.mark.parametrize("last", [None, 2])
def test_legrad(kind, last, image):
    made = classifier(kind)
    weights, blocks, head = openly(made, image)
    expected = []
    for target in TARGETS.tolist():
        total = torch.zeros(9, dtype=torch.float64)
        layers = list(range(LAYERS))[-(last or LAYERS) :]
        for layer in layers:
            # The gradient of what the head makes of this very block, through this layer's own attention.
            gradients = torch.autograd.grad(head(blocks[layer])[target], weights[layer], retain_graph=True)
            total += torch.stack(gradients).clamp(min=0).mean((0, 1))[1:] / len(layers)
        expected.append(total.view(3, 3))
    torch.testing.assert_close(LeGrad(made, last=last)(image, TARGETS), torch.stack(expected).detach())


def test_a_network_without_attention_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made = Classifier(net, [0.5] * 3, [0.5] * 3, {}, list("abcd"), side=SIDE)
    with pytest.raises(ValueError, match="has no layer of that kind"):
        LeGrad(made)


class Biased(nn.Module):
    """Attention with a bias on its scores, which `softmax(q k') v` does not have."""

    def __init__(self, width):
        super().__init__()
        self.qkv, self.proj, self.num_heads = nn.Linear(width, 3 * width), nn.Linear(width, width), 1
        self.bias = nn.Parameter(torch.arange(9.0))

    def forward(self, tokens):
        query, key, value = self.qkv(tokens).chunk(3, -1)
        scores = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5 + self.bias
        return self.proj(scores.softmax(-1) @ value)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = Biased(width)

    def forward(self, tokens):
        return tokens + self.attn(tokens)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.block, self.head = nn.Conv2d(3, 12, 8, 8), Block(12), nn.Linear(12, 5)

    def forward(self, pixels):
        return self.head(self.block(self.patch(pixels).flatten(2).transpose(1, 2)).mean(1))


def test_attention_of_another_kind_is_refused_before_the_first_picture():
    torch.manual_seed(0)
    settings = [0.5] * 3, [0.5] * 3, {}, list("abcde")
    network = Small()
    made = Classifier(network, *settings, side=SIDE, layouts={"block": {"tokens": {"prefix": 0}}})
    with pytest.raises(ValueError, match=r"not what layer 'block.attn' \(Biased\) returns"):
        AttentionRollout(made)
    network.block.attn.bias.data.zero_()
    assert AttentionRollout(made)(torch.rand(3, SIDE, SIDE), TARGETS).shape == (2, 3, 3)


ROTARY = {
    "eva02_tiny_patch14_224": {"patch_size": 8},  # biases of query and value beside the projection
    "eva02_base_patch14_224": {"patch_size": 8, "embed_dim": 24},  # a projection each for query, key and value
    "vit_small_patch16_dinov3": {"patch_size": 8, "embed_dim": 24},  # register tokens; halves rotate
    "vit_base_patch16_rope_224": {"patch_size": 8, "embed_dim": 24},
}


@pytest.mark.parametrize("name", ROTARY)
def test_rotary_embeddings_are_read_after_the_rotation(name, image):
    """timm's own unfused computation shows the weights; their gradient is autograd's."""
    timm = pytest.importorskip("timm", reason="timm is an extra: pip install -e '.[timm]'")
    torch.manual_seed(3)
    settings = {"embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5, "img_size": SIDE} | ROTARY[name]
    network = timm.create_model(name, **settings).double()
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    made = Classifier(network, [0.5] * 3, [0.5] * 3, {}, list("abcde"), side=SIDE)
    made.mean, made.std = made.mean.double(), made.std.double()
    methods = [AttentionRollout(made), GradientRollout(made), LeGrad(made, last=1)]
    actual = [method(image, TARGETS) for method in methods]

    weights = []
    for block in network.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda _m, _i, output: weights.append(output) or output)
    plain = Classifier(network, [0.5] * 3, [0.5] * 3, {}, list("abcde"), side=SIDE)
    weights.clear()
    output = network((image[None].requires_grad_() - 0.5) / 0.5)[0]
    heads = [each[0] for each in weights]
    prefix = network.num_prefix_tokens

    def read(matrix):
        pooled = network.global_pool == "avg"
        return (matrix[prefix:].mean(0) if pooled else matrix[0])[prefix:].view(3, 3).detach()

    rollout = torch.eye(9 + prefix, dtype=torch.float64)
    for each in heads:
        rollout = (each.mean(0) / 2 + torch.eye(9 + prefix) / 2) @ rollout
    torch.testing.assert_close(actual[0][1], read(rollout))
    for place, target in enumerate(TARGETS.tolist()):
        gradients = torch.autograd.grad(output[target], weights, retain_graph=True)
        relevance = torch.eye(9 + prefix, dtype=torch.float64)
        for each, gradient in zip(heads, gradients, strict=True):
            relevance = relevance + (each * gradient[0]).clamp(min=0).mean(0) @ relevance
        torch.testing.assert_close(actual[1][place], read(relevance))
        last = gradients[-1][0].clamp(min=0).mean((0, 1))[prefix:].view(3, 3)
        torch.testing.assert_close(actual[2][place], last)
    with pytest.raises(ValueError, match=r"not what layer 'blocks\.0\.attn'"):
        AttentionRollout(plain)  # where no kernel runs, nobody sees the rotated query and key
