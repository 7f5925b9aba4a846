"""Networks as people have them: read alike by `wrap` and by the suite's classifier, or refused with what to do."""

import pytest
import torch
from torch import nn

from baselines.cam import CAM
from baselines.probability import probability
from eval.networks.classifier import Classifier
from eval.networks.probability import probabilities
from gpnncam import GPNNCAM, MultiscaleCAM, wrap
from gpnncam.inputs import eager
from gpnncam.outputs import settled

SIDE, CELL, WIDTH = 48, 8, 16
SAID = {"mean": [0.5] * 3, "std": [0.5] * 3, "side": SIDE}


def small(outputs=2, channels=3, *last):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, outputs), *last,
    )  # fmt: skip


class Transformer(nn.Module):
    """Patches of 8 pixels, as a convolution or cut by hand; tokens of the class before or behind them, or none."""

    def __init__(self, before=1, behind=0, conv=True, norm_first=True, depth=6, batch_first=True, columns=False):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.before, self.behind, self.columns, self.batch_first = conv, before, behind, columns, batch_first
        self.patch = nn.Conv2d(3, WIDTH, CELL, CELL) if conv else nn.Linear(3 * CELL**2, WIDTH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=batch_first, norm_first=norm_first)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, pixels):
        if self.conv:
            maps = self.patch(pixels)
            tokens = (maps.transpose(2, 3) if self.columns else maps).flatten(2).transpose(1, 2)
        else:
            tokens = self.patch(nn.functional.unfold(pixels, CELL, stride=CELL).transpose(1, 2))
        token = self.token.expand(len(tokens), -1, -1)
        tokens = torch.cat([token] * self.before + [tokens] + [token] * self.behind, 1)
        tokens = self.body(tokens) if self.batch_first else self.body(tokens.transpose(0, 1)).transpose(0, 1)
        return self.head(self.norm(tokens)[:, 0])


@pytest.mark.parametrize("shape", [{}, {"before": 5}, {"before": 0}, {"conv": False}, {"norm_first": False}], ids=str)
def test_a_transformer_of_ones_own_is_read_at_its_blocks(shape):
    network = Transformer(**shape)
    wrapped = wrap(network, **SAID)
    suites = Classifier(network, [0.5] * 3, [0.5] * 3, {}, list("abc"), side=SIDE)
    norms = shape.get("norm_first", True)
    blocks = [f"body.layers.{n}.norm1" for n in (5, 3, 1)] if norms else [f"body.layers.{n}" for n in (4, 3, 2)]
    assert wrapped.layers == suites.layers_by_rule()
    assert wrapped.layers["gpnncam"] == blocks
    suites.layers |= suites.layers_by_rule()
    picture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    first, second = (CAM(made)(picture, torch.tensor([1])) for made in (wrapped, suites))
    assert torch.equal(first, second)
    assert first.shape == (1, 6, 6)
    assert first.std() > 0
    # The prefix: right behind it lies the patch at the top left, row by row.
    name = blocks[-1]
    output = torch.arange(float(36 + shape.get("before", 1))).view(1, -1, 1)
    assert wrapped.reader(name)(output)[0, 0].flatten().tolist() == list(output.flatten()[-36:])


@pytest.mark.parametrize(
    "shape", [{"behind": 1, "before": 0}, {"columns": True}, {"batch_first": False}, {"depth": 1}], ids=str
)
def test_a_transformer_whose_tokens_nobody_knows_is_refused_by_name(shape):
    with pytest.raises(ValueError, match=r"Transformer goes on with tokens .* could be meant: .*body\.layers\.0"):
        wrap(Transformer(**{"depth": 3} | shape), **SAID)


def test_a_declared_layout_is_read_by_both_doors():
    layouts = {"body.layers.2.norm1": {"tokens": {"prefix": 0}}}
    network = Transformer(before=0, depth=3, columns=True)
    wrapped = wrap(network, layers="body.layers.2.norm1", layouts=layouts, **SAID)
    assert GPNNCAM(wrapped, source="none")(torch.rand(3, SIDE, SIDE), [1]).shape == (1, 6, 6)
    with pytest.raises(ValueError, match=r"no layer 'body\.layers\.9'"):
        wrap(network, layers="body.layers.2.norm1", layouts={"body.layers.9": {"channels": "last"}}, **SAID)


def test_a_network_of_one_channel_sees_the_grey_picture():
    network = small(channels=1)
    picture = torch.rand(3, SIDE, SIDE)
    red, green, blue = picture
    grey = (0.299 * red + 0.587 * green + 0.114 * blue)[None, None]
    expected = network((grey - 0.5) / 0.25)
    for mean, std in (([0.5] * 3, [0.25] * 3), ([0.5], [0.25])):
        wrapped = wrap(network, mean=mean, std=std, side=SIDE)
        torch.testing.assert_close(wrapped.network(wrapped.normalise(picture)), expected)
        suites = Classifier(network, mean, std, {"cam": ["3"]}, ["a", "b"], side=SIDE)
        assert suites.adapt(None) == 2
        torch.testing.assert_close(suites.network(suites.normalise(picture)), expected)
        assert CAM(suites)(picture, torch.tensor([0])).shape == (1, 12, 12)
    with pytest.raises(ValueError, match=r"one channel.*model\.mean=\[M\]"):
        wrap(network, side=SIDE)
    with pytest.raises(ValueError, match="mean has 2 numbers"):
        wrap(network, mean=[0.5, 0.5], std=[1, 1], side=SIDE)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.last = small(), nn.Linear(5, 2)

    def forward(self, pixels, age):
        return self.last(torch.cat([self.net(pixels), age], 1))


class Frames(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, video):
        batch, frames, *size = video.shape
        return self.net(video.reshape(batch * frames, *size[-3:])).view(batch, frames, -1).mean(1)


class Volume(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.last = nn.Conv3d(channels, 4, 3), nn.Linear(4, 2)

    def forward(self, volume):
        return self.last(self.conv(volume).mean((2, 3, 4)))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Two(), r"takes 2 inputs \(pixels, age\); wrap it"),
        (Frames(), r"volumes or video \(B,t,C,h,w\); wrap it"),
        (Volume(3), r"volumes or video \(B,C,t,h,w\); wrap it"),
        (Volume(1), r"volumes or video \(B,C,t,h,w\); wrap it"),
        (small(channels=4), "layer, '0', takes 4 channels; wrap it"),
    ],
    ids=["two inputs", "frames", "volume", "grey volume", "four channels"],
)
def test_what_takes_no_picture_is_told_what_to_wrap(network, said):
    suites = Classifier(network, [0.5] * 3, [0.5] * 3, {}, ["a", "b"], side=SIDE)
    for ask in (lambda: wrap(network, **SAID), lambda: suites.adapt(None)):
        with pytest.raises(ValueError, match=said):
            ask()


def whole(network):
    network.compile(backend="eager")


def part(network):
    network[2] = torch.compile(network[2], backend="eager")


def forward(network):
    network.forward = torch.compile(network.forward, backend="eager")


@pytest.mark.parametrize("compiled", [whole, part, forward])
def test_compiled_in_place_or_in_part_is_read_as_it_was_written(compiled):
    picture, network = torch.rand(3, SIDE, SIDE), small()
    expected = CAM(wrap(small(), **SAID))(picture, torch.tensor([1]))
    compiled(network)
    wrapped = wrap(network, **SAID)
    assert wrapped.layers["cam"] == ["3"]
    torch.testing.assert_close(CAM(wrapped)(picture, torch.tensor([1])), expected)
    assert [name for name, _ in network.named_modules()] == [name for name, _ in small().named_modules()]
    assert eager(network) is network


@pytest.mark.filterwarnings("ignore")
def test_dynamic_quantisation_is_named():
    network = torch.ao.quantization.quantize_dynamic(small(), {nn.Linear}, dtype=torch.qint8)
    suites = Classifier(network, [0.5] * 3, [0.5] * 3, {}, ["a", "b"], side=SIDE)
    for ask in (lambda: wrap(network, **SAID), suites.examine):
        with pytest.raises(ValueError, match=r"'6' is quantised dynamically .* other pictures of a batch"):
            ask()


def outputs_of(made, picture):
    with torch.no_grad():
        return made.network(made.normalise(picture))


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sigmoid()], ids=["softmax", "sigmoid"])
def test_probabilities_are_refused_or_read_as_said(last):
    picture = torch.rand(3, SIDE, SIDE)
    logits = outputs_of(wrap(small(3), **SAID), picture)
    with pytest.raises(ValueError, match=r"are probabilities.*model\.outputs=probabilities.*model\.outputs=logits"):
        wrap(small(3, 3, last), **SAID)
    read = outputs_of(wrap(small(3, 3, last), outputs="probabilities", **SAID), picture)
    expected = logits.log_softmax(1) if isinstance(last, nn.Softmax) else logits
    torch.testing.assert_close(read, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs_of(wrap(small(3, 3, last), outputs="logits", **SAID), picture), last(logits))
    suites = Classifier(small(3, 3, last), [0.5] * 3, [0.5] * 3, {}, list("abc"), side=SIDE)
    assert suites.adapt("probabilities") == 3
    torch.testing.assert_close(outputs_of(suites, picture), read)


def test_a_called_sigmoid_and_many_bounded_outputs_are_probabilities_and_relus_are_not():
    class Called(nn.Module):
        def __init__(self, function, count):
            super().__init__()
            self.net, self.function = small(count), function

        def forward(self, pixels):
            return self.function(self.net(pixels))

    pictures = [torch.rand(1, 3, SIDE, SIDE) for _ in range(3)]
    own_sigmoid = Called(lambda z: 1 / (1 + (-z).exp()), 20)
    for network in (Called(torch.sigmoid, 2), Called(lambda z: z.sigmoid().unsqueeze(1).squeeze(1), 1), own_sigmoid):
        with pytest.raises(ValueError, match="are probabilities"):
            settled(network, None, pictures)
    for network in (Called(torch.relu, 3), Called(lambda z: 0.2 * z.tanh().abs(), 3)):
        assert settled(network, None, pictures) is None


def test_one_output_is_two_classes_by_a_setting_and_no_softmax():
    picture = torch.rand(3, SIDE, SIDE)
    z = outputs_of(wrap(small(1), **SAID), picture)
    made = wrap(small(1), outputs="one_logit", classes=["bright", "dark"], **SAID)
    torch.testing.assert_close(outputs_of(made, picture), torch.cat([z, -z], 1))
    again = wrap(small(1, 3, nn.Sigmoid()), outputs="one_probability", **SAID)
    torch.testing.assert_close(outputs_of(again, picture), torch.cat([z, -z], 1), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="of one output; this one has 3"):
        wrap(small(3), outputs="one_logit", **SAID)
    with pytest.raises(ValueError, match=r"probabilities lie in \[0, 1\]"):
        wrap(small(3), outputs="probabilities", **SAID)
    with pytest.raises(ValueError, match="known are logits, probabilities"):
        wrap(small(3), outputs="logit", **SAID)
    suites = Classifier(small(1), [0.5] * 3, [0.5] * 3, {}, ["a"], side=SIDE)
    for output in (z, torch.cat([z, -z], 1)):
        with pytest.raises(ValueError, match="probability=sigmoid"):
            probability(suites, output, 0, "softmax")
        with pytest.raises(ValueError, match="probability=sigmoid"):
            probabilities(output.double(), [0], "softmax")
        torch.testing.assert_close(probability(suites, output, 0, "sigmoid"), z[:, 0].sigmoid())
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    assert probabilities(zeros, [0], "softmax").item() == 0.5, "two outputs of zero are no one logit"


def test_lists_are_targets():
    made = wrap(small(3), **SAID)
    picture = torch.rand(3, SIDE, SIDE)
    for method in (GPNNCAM(made, source="none"), MultiscaleCAM(made)):
        assert torch.equal(method(picture, [2, 0]), method(picture, torch.tensor([2, 0])))
