"""CLIP as a classifier (Radford et al., ICML 2021), through open_clip (`pip install -e '.[openclip]'`): a class is a
text, its score the similarity of picture and text times the model's logit scale."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from eval.files.places import near
from eval.networks.checkpoint import fill, from_hub, random_weights, read
from eval.networks.preprocessing import Description

libraries = ("open_clip_torch",)  # whose versions decide the network


def build(
    arch: str,
    class_names: Sequence[str],
    prompt: str = "a photo of a {}",
    pretrained: str | bool = "openai",
    checkpoint: str | Path | None = None,
) -> nn.Module:
    """The zero-shot classifier of the data set's classes, (B,3,side,side) -> (B,classes), in eval mode.

    arch: as in `open_clip.list_models()`. prompt: {} becomes the class's name. checkpoint: a file with weights of the
    whole model; pretrained: the name of weights that open_clip downloads; false: random ones.
    ValueError suggests near names; RuntimeError names the settings for weights that cannot be had.
    """
    open_clip = _open_clip()
    if arch not in open_clip.list_models():
        raise ValueError(f"open_clip has no model {arch!r}; near names: {near(arch, open_clip.list_models(), 5)}")
    if checkpoint is not None or not pretrained:
        with random_weights():
            model = open_clip.create_model(arch, pretrained=None)
        model = model.eval() if checkpoint is None else fill(model, read(checkpoint), checkpoint)
    else:
        weights = f"open_clip's weights {pretrained} of {arch}"
        model = from_hub(lambda: open_clip.create_model(arch, pretrained=str(pretrained)), weights)
    return Prompted(model, open_clip.get_tokenizer(arch), class_names, prompt)


def side(arch: str) -> int:
    """The side of the square picture that the model takes."""
    open_clip = _open_clip()
    config = open_clip.get_model_config(arch)
    if config is None:
        raise ValueError(f"open_clip has no model {arch!r}; near names: {near(arch, open_clip.list_models(), 5)}")
    return int(config["vision_cfg"].get("image_size", 224))


class Prompted(nn.Module):
    """The picture's half of a CLIP model, and the texts of the classes as its last, linear layer.

    model: with `visual`, `encode_text`, `logit_scale` and, as SigLIP has, `logit_bias`. tokenizer: texts -> (C,L).
    """

    texts: Tensor
    bias: Tensor

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor], class_names: Sequence[str], prompt: str):
        super().__init__()
        if "{}" not in prompt:
            raise ValueError(f"model.prompt needs {{}} where the class's name belongs, not {prompt!r}")
        self.visual = model.visual
        with torch.no_grad():
            texts = model.encode_text(tokenizer([prompt.replace("{}", name) for name in class_names]))
            bias = getattr(model, "logit_bias", None)
            self.register_buffer("texts", functional.normalize(texts, dim=1) * model.logit_scale.exp())
            self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().reshape(()).clone())
        mean, std = getattr(model.visual, "image_mean", None), getattr(model.visual, "image_std", None)
        size = getattr(model.visual, "image_size", None)
        if mean and std:
            size = size[0] if isinstance(size, tuple | list) else size
            self.description = Description("open_clip", [*mean], [*std], size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) -> (B,classes)."""
        embedding = self.visual(pixels)
        embedding = (
            embedding[0] if isinstance(embedding, tuple) else embedding
        )  # with its tokens, where a model is set up so
        return functional.normalize(embedding, dim=1) @ self.texts.T + self.bias


def _open_clip() -> ModuleType:
    try:
        import open_clip
    except ImportError as error:
        raise ImportError(f"model=openclip needs open_clip: pip install -e '.[openclip]' ({error})") from error
    return open_clip
