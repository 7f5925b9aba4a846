"""A network in half precision: maps, probabilities and masks are computed in single precision all the same."""

import pytest
import torch

from baselines.probability import probability
from eval.running.build import build_method
from eval.running.config import load
from eval.running.method_call import call
from gpnncam.multiscale import MultiscaleCAM
from tests.golden import CHEAP, classifier, picture
from tests.test_contract import CLASSES

KINDS = [torch.bfloat16, torch.float16]
METHODS = ("gpnncam", "gpnncam_alone", "gpnncam_hr", "rise", "scorecam", "extremal_perturbation", "shapleycam",
           "finercam", "fullgrad", "integrated_gradients")  # fmt: skip


def half(kind):
    seeing = classifier()
    seeing.network.to(kind)
    seeing.dtype = kind
    return seeing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_maps_hold_more_digits_than_the_network(name, kind):
    settings = load([f"method={name}", *CHEAP.get(name, [])]).method
    maps = call(build_method(settings, half(kind), CLASSES), picture(), torch.tensor([0, 2]), seed=3)
    assert maps.dtype in (torch.float32, torch.float64)
    positive = maps[maps > 0].float()
    assert len(positive) > 20
    assert (positive != positive.to(kind).float()).float().mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2, 2)])
def test_probabilities_are_those_of_the_same_logits_in_double_precision(shape, kind):
    logits = (10 * torch.randn(shape, generator=torch.Generator().manual_seed(1))).to(kind)
    for target, outputs in enumerate([[0], [1, 2], [3]]):
        every = logits.double().flatten(1)
        own = logits.double()[:, outputs].flatten(1).logsumexp(1)
        softmax = (own - every.logsumexp(1)).exp()
        actual = probability(half(kind), logits, target, "softmax")
        torch.testing.assert_close(actual.double(), softmax, rtol=1e-5, atol=1e-12)
        sigmoid = torch.sigmoid(own - torch.tensor(logits[0, 0].numel()).double().log())
        torch.testing.assert_close(
            probability(half(kind), logits, target, "sigmoid").double(), sigmoid, rtol=1e-5, atol=0
        )


def test_no_target_has_no_map_at_several_sizes():
    maps = MultiscaleCAM(classifier(), sides=[40, 56])(picture(), torch.empty(0, dtype=torch.long))
    some = MultiscaleCAM(classifier(), sides=[40, 56])(picture(), torch.tensor([0]))
    assert maps.shape == (0, *some.shape[1:])
