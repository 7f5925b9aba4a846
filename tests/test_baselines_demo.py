"""On both built-in networks: the library's point where the library follows the paper, and conserved relevance."""

import copy

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from baselines.cam import CAM
from baselines.relevance_cam import RelevanceCAM
from baselines.score_cam import ScoreCAM
from eval.datasets.demo import Demo
from eval.networks import demo
from eval.networks.classifier import Classifier
from tests.test_baselines_cam import as_library

TARGETS = torch.tensor([0, 7, 19])
LAYERS = {"vgg16": ["features.29", "features.16"], "resnet50": ["layer4", "layer2"]}


@pytest.fixture(scope="module", params=LAYERS)
def case(request):
    """A built-in network (its committed weights where they are there, else random ones) and a picture of its data."""
    torch.manual_seed(0)
    network = getattr(demo, request.param)(pretrained=demo.weights(request.param).is_file())
    names = [str(i) for i in range(demo.CLASSES)]
    layers = {"cam": LAYERS[request.param][:1], "relevance": LAYERS[request.param]}
    classifier = Classifier(network, demo.MEAN, demo.STD, layers, names)
    image = torch.from_numpy(np.array(Demo(count=1)[0].image)).permute(2, 0, 1).float() / 255
    return classifier, image


@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM"])
def test_the_librarys_point(case, name):
    classifier, image = case
    network = copy.deepcopy(classifier.network).requires_grad_(True)
    for module in network.modules():
        module._forward_pre_hooks.clear()
    layer = network.get_submodule(classifier.layers["cam"][0])
    with getattr(pytorch_grad_cam, name)(network, [layer]) as cam:
        theirs = np.stack([cam(classifier.normalise(image), [ClassifierOutputTarget(int(t))])[0] for t in TARGETS])
    ours = as_library(CAM(classifier, name)(image, TARGETS), image)
    positive = theirs.max((1, 2)) > 0
    assert positive.any()
    for one, other in zip(ours[positive], theirs[positive], strict=True):
        assert one.argmax() == other.argmax()
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_relevance_is_conserved(case):
    """To rounding at the deep layer. On the way to the shallow one a little is lost, in float64 as in float32: a unit
    that the shift of batch norm alone makes positive has no input that takes its share on."""
    classifier, image = case
    for contrastive in (True, False):
        read = RelevanceCAM(classifier, contrastive=contrastive).relevance(image, TARGETS)
        for (_, relevance, start), allowed in zip(read, (1e-6, 3e-3), strict=True):
            lost = (relevance.sum((1, 2, 3)) - start.sum(1)).abs() / start.abs().sum(1)
            assert (lost < allowed).all()


def test_a_batch_of_masks_changes_no_point(case):
    classifier, image = case
    few = ScoreCAM(classifier, batch=5)(image[:, ::7, ::7], TARGETS)
    many = ScoreCAM(classifier, batch=64)(image[:, ::7, ::7], TARGETS)
    torch.testing.assert_close(few, many, rtol=1e-4, atol=1e-6)
    assert few.flatten(1).argmax(1).tolist() == many.flatten(1).argmax(1).tolist()
