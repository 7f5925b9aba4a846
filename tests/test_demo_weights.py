"""The committed weights of the built-in data's networks know its 20 classes."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from eval.datasets.demo import CLASSES, Demo
from eval.networks import demo as networks

BUILD = {"vgg16": networks.vgg16, "resnet50": networks.resnet50}


@pytest.mark.parametrize("name", BUILD)
def test_committed_weights(name):
    path = networks.weights(name)
    assert path.stat().st_size < 4e6
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert float(metadata["test_map"]) >= 0.9
    assert metadata["classes"].split(",") == list(CLASSES)
    assert {"seed", "command", "versions", "training_seconds"} <= set(metadata)


@pytest.mark.parametrize("name", BUILD)
def test_committed_weights_tell_the_classes_apart(name):
    """On 40 test pictures a class that is there outranks one that is not, mostly: 0.5 is chance."""
    network, mean, std = BUILD[name](), torch.tensor(networks.MEAN), torch.tensor(networks.STD)
    there, absent = [], []
    for sample in Demo("test", count=40):
        pixels = torch.from_numpy(np.array(sample.image)).float() / 255
        with torch.no_grad():
            scores = network(((pixels - mean) / std).permute(2, 0, 1)[None])[0].numpy()
        there.extend(scores[np.unique(sample.labels[~sample.hard])])
        absent.extend(np.delete(scores, np.unique(sample.labels)))
    assert np.mean(np.array(there)[:, None] > np.array(absent)) > 0.8
