"""One contract for every method that conf/method/ knows, the failing path included."""

import functools
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from baselines.taps import activations_and_gradients
from eval.networks.classifier import Classifier
from eval.running.build import build_method
from eval.running.config import load
from tests import pages

FILES = sorted((Path(__file__).parents[1] / "conf" / "method").glob("*.yaml"))
METHODS = [path.stem for path in FILES]
# A variant (its file has `defaults`) is as blind as what it varies, and no blind method has variants.
SEEING = [path.stem for path in FILES if not OmegaConf.load(path).get("blind", False)]
CLASSES = ("cat", "dog", "traffic light")
# What keeps the expensive ones short; the code that runs is the same.
SHORT = {
    "gpnncam": ["method.build.n=4"],
    "gpnncam_authors": ["method.build.n=4", "method.build.groups=2"],
    "gpnncam_vote": ["method.build.n=4"],
    "gpnncam_hr": ["method.build.sides=[40,56]"],
    "gpnncam_hr_cheap": ["method.build.sides=[56]"],
    "cameras": ["method.build.sides=[24,40]", "method.build.grid=20"],
    "sess": ["method.build.scales=[24,40]", "method.build.window=24", "method.build.drop=0.2"],
    "cameras_hr": ["method.build.sides=[24,40]", "method.build.grid=10"],
    "cameras_hr_cheap": ["method.build.sides=[40]", "method.build.grid=10"],
    "sess_hr": ["method.build.scales=[24,40]", "method.build.window=24"],
    "sess_hr_cheap": ["method.build.scales=[40]", "method.build.window=24"],
    "igos_pp": ["method.build.cells=6", "method.build.iterations=2", "method.build.steps=3", "method.build.batch=2"],
    "rise": ["method.build.masks=12", "method.build.batch=5"],
    "integrated_gradients": ["method.build.steps=4"],
    "extremal_perturbation": ["method.build.max_iter=2"],
    "smoothgrad": ["method.build.n=2"],
    "other_picture": ["method.of=gradcam"],
    "custom": ["method.build._target_=own_method.explain", "+method.build.factor=2.0"],
}
FOLDERS = ("maps", "other_picture")  # of heat maps, which they read
OWN_METHOD = """
def explain(image, targets, classifier, factor):
    output = classifier.network(classifier.normalise(image))
    return factor * classifier.score(output, int(targets[0])) * image.mean(0).expand(len(targets), -1, -1)
"""


class Broken(RuntimeError):
    pass


class Trap(nn.Module):
    """Passes its input on until the call number `breaks_at`."""

    def __init__(self):
        super().__init__()
        self.breaks_at = None
        self.calls = 0

    def forward(self, tensor):
        self.calls += 1
        if self.calls == self.breaks_at:
            raise Broken("the network broke")
        return tensor


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, tensor):
        out = self.norm(self.conv(tensor))
        out += tensor
        return self.relu(out)


class Small(nn.Module):
    def __init__(self, spatial):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(4))
        self.middle = Residual(8)
        self.pool = nn.MaxPool2d(2)
        self.last = Residual(8)
        self.mean = nn.Identity() if spatial else nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Conv2d(8, 4, 1)
        self.spatial = spatial
        self.trap = Trap()

    def forward(self, pixels):
        features = self.last(self.pool(self.middle(self.stem(pixels))))
        output = self.trap(self.classify(self.mean(features)))
        return output if self.spatial else output.flatten(1)


class Tokens(nn.Module):
    """A vision transformer of one block, whose head reads the class token; score maps have 1 x 1 positions."""

    def __init__(self, spatial):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.start = nn.Parameter(torch.rand(1, 1, 8))
        self.block = nn.Module()
        self.block.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.block.forward = lambda tokens: tokens + self.block.attention(tokens, tokens, tokens, need_weights=False)[0]
        self.classify = nn.Linear(8, 4)
        self.spatial = spatial
        self.trap = Trap()

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        tokens = self.block(torch.cat([self.start.expand(len(tokens), -1, -1), tokens], 1))
        output = self.trap(self.classify(tokens[:, 0].square()))
        return output[:, :, None, None] if self.spatial else output


TRANSFORMERS = ("attention_rollout", "gradient_rollout", "legrad")


def classifier_for(name, spatial=False):
    if name not in TRANSFORMERS:
        return small_classifier(spatial)
    torch.manual_seed(5)
    layouts = {"block": {"tokens": {"prefix": 1}}}
    return Classifier(
        Tokens(spatial), [0.5] * 3, [0.25] * 3, {}, CLASSES, outputs=[[0], [1, 2], [3]], side=48, layouts=layouts
    )


def small_classifier(spatial=False):
    torch.manual_seed(5)
    layers = {"cam": ["last"], "gpnncam": ["last", "middle"], "relevance": ["last"]}
    return Classifier(Small(spatial), [0.5] * 3, [0.25] * 3, layers, CLASSES, outputs=[[0], [1, 2], [3]])


@functools.cache
def configured(name):
    return load([f"method={name}", *SHORT.get(name, [])]).method


def built(name, classifier, folder, monkeypatch):
    (folder / "own_method.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(folder)
    for label in CLASSES:
        path = folder / "maps" / "a" / "b" / f"{label}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((3, 4), len(label), np.float16))
        other = folder / "maps" / "c" / path.name
        other.parent.mkdir(exist_ok=True)
        np.save(other, np.arange(12.0).reshape(3, 4) + len(label))
    settings = configured(name).copy()
    if name in FOLDERS:
        settings.folder = str(folder / "maps")
    return build_method(settings, None if settings.blind else classifier, CLASSES), settings


class BlindSample:
    key = "a/b"
    size = (60, 40)


def state(classifier):
    """All that a method could leave behind: hooks, modes, gradients, replaced modules, changed parameters."""
    seen = {}
    for name, module in classifier.network.named_modules():
        hooks = {key: list(value) for key, value in vars(module).items() if key.endswith("hooks") and value is not None}
        seen[name] = id(module), module.training, getattr(module, "inplace", None), hooks, list(vars(module))
    for name, tensor in [*classifier.network.named_parameters(), *classifier.network.named_buffers()]:
        digest = hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
        seen[f"{name} (tensor)"] = id(tensor), tensor.requires_grad, tensor.grad is None, digest
    return seen, torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()


def ask(method, image, targets, seed=3):
    torch.manual_seed(seed)
    return method(image, torch.tensor(targets))


@pytest.fixture
def image():
    return torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(1))


def test_every_config_names_itself():
    settings = [configured(name) for name in METHODS]
    assert [cfg.name for cfg in settings] == METHODS
    assert len({cfg.get("label", cfg.name) for cfg in settings}) == len(METHODS)
    assert [cfg.name for cfg in settings if not cfg.blind] == SEEING
    assert all(isinstance(cfg.blind, bool) and OmegaConf.is_dict(cfg.build) for cfg in settings)


@pytest.mark.parametrize("spatial", [False, True], ids=["scores", "score maps"])
@pytest.mark.parametrize("name", METHODS)
def test_answers(name, spatial, image, tmp_path, monkeypatch):
    classifier = classifier_for(name, spatial)
    method, settings = built(name, classifier, tmp_path, monkeypatch)
    holds(method, BlindSample() if settings.blind else image, classifier, image)


@pytest.mark.parametrize("spatial", [False, True], ids=["scores", "score maps"])
def test_the_cam_of_the_how_to_is_a_method(spatial, image, tmp_path, monkeypatch):
    (code,) = pages.blocks(pages.read("docs/howto/method.md"), "python")
    (tmp_path / "mycam.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mycam", raising=False)
    classifier = classifier_for("mine", spatial)
    own = ["method=custom", "method.build._target_=mycam.Mine", "+method.build.power=3"]
    method = build_method(load(own).method, classifier, CLASSES)
    holds(method, image, classifier, image)
    ((activations, gradients),) = activations_and_gradients(classifier, image, torch.tensor([0, 2]), ["last"])
    expected = (gradients.clamp(min=0) ** 3 * activations).sum(1)
    torch.testing.assert_close(ask(method, image, [0, 2]), expected)
    many = method.many(torch.stack([image, image.flip(2)]), [torch.tensor([0, 2])] * 2, [0, 0])
    torch.testing.assert_close(many[0], expected)


def holds(method, given, classifier, image):
    """What every method promises."""
    before, pixels = state(classifier), image.clone()
    answer = ask(method, given, [0, 2])
    assert answer.dim() in (2, 3)
    assert len(answer) == 2
    assert answer.shape[1] == 2 or answer.dim() == 3
    assert answer.is_floating_point()
    assert not answer.requires_grad
    assert torch.isfinite(answer).all()
    assert torch.equal(image, pixels)
    assert not image.requires_grad
    assert state(classifier) == before
    assert torch.equal(ask(method, given, [0, 2]), answer), "the same seed must give the same answer"
    with torch.no_grad():
        assert torch.equal(ask(method, given, [0, 2]), answer), "the caller's autograd mode must not matter"
    with torch.inference_mode():
        # The copy is an inference tensor, which autograd refuses.
        copied = given.clone() if torch.is_tensor(given) else given
        assert torch.equal(ask(method, copied, [0, 2]), answer), "the caller's inference mode must not matter"


@pytest.mark.parametrize("name", [name for name in METHODS if name != "custom"])
def test_a_class_does_not_depend_on_the_others(name, image, tmp_path, monkeypatch):
    classifier = classifier_for(name)
    method, settings = built(name, classifier, tmp_path, monkeypatch)
    given = BlindSample() if settings.blind else image
    together = ask(method, given, [0, 1, 2])
    alone = torch.cat([ask(method, given, [target]) for target in (2, 0)])
    torch.testing.assert_close(together[[2, 0]], alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("place", ["first pass", "second pass", "score"])
@pytest.mark.parametrize("name", SEEING)
def test_leaves_nothing_behind_when_it_fails(name, place, image, tmp_path, monkeypatch):
    classifier = classifier_for(name)
    method, _ = built(name, classifier, tmp_path, monkeypatch)
    before = state(classifier)
    trap, scored = classifier.network.trap, []
    if place == "score":

        def score(output, target):
            scored.append(target)
            raise Broken("the score broke")

        monkeypatch.setattr(classifier, "score", score)
    else:
        trap.calls, trap.breaks_at = 0, {"first pass": 1, "second pass": 2}[place]
    try:
        ask(method, image, [0, 2])
    except Broken:
        pass
    else:
        assert place == "second pass" or (place == "score" and not scored), "the failure was swallowed"
        assert place != "second pass" or trap.calls == 1
    assert state(classifier) == before
