"""Networks as users bring them, in half precision, quantised, traced, without parameters: they run, or say why."""

import pytest
import torch
from torch import nn

from baselines.ablation_cam import AblationCAM
from baselines.cam import CAM, FORMULAS, GradCAMPlusPlus
from baselines.captum_maps import GuidedBackprop, Occlusion
from baselines.eigen_cam import EigenCAM
from baselines.excitation_backprop import ExcitationBackprop
from baselines.relevance_cam import RelevanceCAM
from baselines.rise import RISE
from baselines.score_cam import ScoreCAM
from eval.networks.classifier import Classifier
from gpnncam.cam import GPNNCAM

TARGETS = torch.tensor([0, 1])
METHODS = {
    **{formula: lambda made, formula=formula: CAM(made, formula) for formula in FORMULAS},
    "GradCAM++": GradCAMPlusPlus,
    "EigenCAM as its paper": EigenCAM,
    "ScoreCAM": ScoreCAM,
    "AblationCAM": AblationCAM,
    "RISE": lambda made: RISE(made, masks=4),
    "Occlusion": Occlusion,
    "GPNN-CAM": lambda made: GPNNCAM(made, source="none"),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


class Hidden(nn.Module):
    """Keeps the network in a list, so that it has no parameters of its own."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = [network().eval()], nn.Identity()

    def forward(self, pixels):
        return self.inner[0][4:](self.last(self.inner[0][:4](pixels)))


def classifier(net, layer="3"):
    layers = {} if layer is None else {"cam": [layer], "gpnncam": [layer]}
    return Classifier(net, [0.5] * 3, [0.25] * 3, layers, ["a", "b"], side=32)


def image():
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_nearly_the_same_map(name, dtype):
    torch.manual_seed(0)
    expected = METHODS[name](classifier(network()))(image(), TARGETS)
    torch.manual_seed(0)
    actual = METHODS[name](classifier(network().to(dtype)))(image(), TARGETS)
    assert actual.dtype == torch.float32
    # Eight bits of a mantissa, through a dozen operations; a principal direction moves more.
    scale = expected.abs().max()
    assert (actual - expected).abs().mean() < (0.25 if "Eigen" in name else 0.1) * scale


@pytest.mark.parametrize("name", METHODS)
def test_a_network_without_parameters_gives_the_same_map(name):
    torch.manual_seed(0)
    expected = METHODS[name](classifier(network()))(image(), TARGETS)
    torch.manual_seed(0)
    actual = METHODS[name](classifier(Hidden(), "last"))(image(), TARGETS)
    torch.testing.assert_close(actual, expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["traced", "scripted"])
def test_torchscript_runs_without_its_layers_and_says_why_they_cannot_be_read(kind):
    eager = network().eval()
    made = torch.jit.trace(eager, torch.rand(1, 3, 32, 32)) if kind == "traced" else torch.jit.script(eager)
    assert Occlusion(classifier(made, None))(image(), TARGETS).shape == (2, 32, 32)
    with pytest.raises(ValueError, match="'3' is TorchScript, whose layers cannot be read"):
        CAM(classifier(made))
    with pytest.raises(ValueError, match="TorchScript, whose layers cannot be read"):
        classifier(made, None).layers_by_rule()


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_network_runs_where_no_gradient_is_needed():
    made = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)
    assert ScoreCAM(classifier(made))(image(), TARGETS).std() > 0
    with pytest.raises(RuntimeError, match="to not have been used in the graph"):
        CAM(classifier(made))(image(), TARGETS)


def test_a_compiled_network_is_read_as_it_was_written():
    made = classifier(torch.compile(network(), backend="eager"))
    torch.testing.assert_close(CAM(made)(image(), TARGETS), CAM(classifier(network()))(image(), TARGETS))


def test_a_wrapped_network_keeps_its_rule():
    made = classifier(nn.DataParallel(network()), None)
    assert made.layers_by_rule()["cam"] == ["module.3"]


@pytest.mark.parametrize("activation", [nn.GELU(), nn.LayerNorm(8), nn.SiLU()])
def test_what_rules_of_relus_cannot_do_is_refused_before_the_first_picture(activation):
    net = network()
    net[1] = activation
    what = rf"layer '1' of the network is a {type(activation).__name__}"
    if not isinstance(activation, nn.SiLU):
        with pytest.raises(ValueError, match=f"RelevanceCAM has no rule.*{what}"):
            RelevanceCAM(classifier(net))
        with pytest.raises(ValueError, match=f"excitation backprop has no rule.*{what}"):
            ExcitationBackprop(classifier(net))
    if not isinstance(activation, nn.LayerNorm):
        with pytest.raises(ValueError, match=f"guided backprop.*{what}"):
            GuidedBackprop(classifier(net))
