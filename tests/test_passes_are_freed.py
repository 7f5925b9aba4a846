"""No method holds on to the passes of a picture: hooks and graph keep each other alive where neither is let go."""

import gc
import weakref

import pytest
import torch
from torch import nn

from eval.networks.classifier import Classifier
from tests.test_contract import CLASSES, SEEING, TRANSFORMERS, Small, ask, built

HELD: list[weakref.ref] = []


class Pass:
    pass


class Mark(torch.autograd.Function):
    """The identity; what its node in the graph keeps is gone when the graph is."""

    @staticmethod
    def forward(ctx, values):
        ctx.mark = Pass()
        HELD.append(weakref.ref(ctx.mark))
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Marking(nn.ReLU):
    def forward(self, values):
        return Mark.apply(super().forward(values))


@pytest.mark.parametrize("name", [name for name in SEEING if name not in TRANSFORMERS])
def test_what_a_pass_made_is_gone_when_the_map_is_there(name, tmp_path, monkeypatch):
    torch.manual_seed(5)
    # The layer that is read stands before the marks, as a graph begins there.
    layers = {use: ["middle"] for use in ("cam", "relevance", "excitation")} | {"gpnncam": ["last", "middle"]}
    classifier = Classifier(Small(False), [0.5] * 3, [0.25] * 3, layers, CLASSES, outputs=[[0], [1, 2], [3]])
    monkeypatch.setattr(classifier.network.last.relu, "__class__", Marking)
    method, _ = built(name, classifier, tmp_path, monkeypatch)
    HELD.clear()
    image = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        ask(method, image, [0, 2])
    gc.collect()
    assert HELD or name in ("maps", "other_picture")
    assert not [mark for mark in HELD if mark() is not None]
