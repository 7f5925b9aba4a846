"""CLIP as a classifier: a small model with random weights, where open_clip is installed."""

import pytest
import torch

from baselines.attention_maps import AttentionRollout, GradientRollout, LeGrad
from baselines.cam import CAM
from eval.networks.classifier import Classifier
from eval.running.build import _asked
from gpnncam.cam import GPNNCAM

open_clip = pytest.importorskip("open_clip", reason="open_clip is an extra: pip install -e '.[openclip]'")
NAMES = ["cat", "traffic light", "dog"]


def small():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=3, width=32, head_width=16, patch_size=8, image_size=32)
    return CLIP(16, vision, CLIPTextCfg(width=16, heads=2, layers=1)).eval().requires_grad_(False)


def prompted(prompt="a photo of a {}", names=NAMES):
    from eval.networks.openclip import Prompted

    return Prompted(small(), open_clip.get_tokenizer("ViT-B-16"), names, prompt)


def classifier():
    made = Classifier(prompted(), [0.5] * 3, [0.25] * 3, {}, NAMES, side=32)
    made.layers |= made.layers_by_rule()
    return made


def test_a_score_is_the_similarity_times_the_logit_scale():
    model, network = small(), prompted()
    pixels = torch.rand(2, 3, 32, 32)
    texts = open_clip.tokenize([f"a photo of a {name}" for name in NAMES])
    with torch.no_grad():
        picture, text, scale = model(pixels, texts)
        torch.testing.assert_close(network(pixels), scale * picture @ text.T)


def test_the_prompt_and_the_names_decide_the_weights():
    texts = [
        prompted(*each).texts for each in (("a photo of a {}",), ("{}",), ("a photo of a {}", ["cat", "car", "dog"]))
    ]
    assert not torch.allclose(texts[0], texts[1])
    assert torch.allclose(texts[0][[0, 2]], texts[2][[0, 2]], atol=1e-4)
    assert not torch.allclose(texts[0][1], texts[2][1])
    assert "texts" in prompted().state_dict(), "they are part of a run's identity"
    with pytest.raises(ValueError, match=r"model\.prompt needs {}"):
        prompted("a photo")


def test_layers_follow_the_rule_and_methods_answer_on_the_patches_grid():
    made = classifier()
    assert made.layers["gpnncam"] == [f"visual.transformer.resblocks.{n}.ln_1" for n in (2, 1, 0)]
    image, targets = torch.rand(3, 32, 32), torch.tensor([0, 2])
    for make in (CAM, AttentionRollout, GradientRollout, LeGrad, lambda each: GPNNCAM(each, source="none")):
        actual = make(made)(image, targets)
        assert actual.shape == (2, 4, 4)
        assert torch.isfinite(actual).all()


def test_a_builder_that_asks_for_class_names_gets_them():
    assert _asked("eval.networks.openclip.build", NAMES) == {"class_names": NAMES}
    assert _asked("eval.networks.imagenet.build", NAMES) == {}


def test_an_unknown_model_is_named():
    from eval.networks.openclip import build, side

    for refused in (lambda: build("ViT-B-17", NAMES), lambda: side("ViT-B-17")):
        with pytest.raises(ValueError, match=r"near names: .*ViT-B-16"):
            refused()
    assert side("ViT-B-16") == 224
