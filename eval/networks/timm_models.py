"""timm's classification networks by name (`pip install -e '.[timm]'`)."""

from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from eval.files.places import near
from eval.networks.checkpoint import awake, fill, from_hub, random_weights, read

libraries = ("timm",)  # whose versions decide the network


def build(
    arch: str,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    classes: int | None = None,
    side: int | None = None,
) -> nn.Module:
    """A network of timm in eval mode, (B,3,side,side) -> (B,classes).

    arch: as in `timm.list_models()`, with or without the tag of its weights. checkpoint: a file with its weights.
    pretrained: the weights that timm downloads; false: random ones, the same every time. classes: outputs, None: as the
    weights have. side: of the input where the network is made for one size, None: timm's.
    ValueError suggests near names; RuntimeError names the settings for weights that cannot be had.
    """
    timm = _timm()
    card = _card(timm, arch)
    classes = classes or card.num_classes
    if not classes:
        raise ValueError(f"timm's {arch} has no classifier, only features: model.classes=N and model.checkpoint=FILE")
    options = {"num_classes": classes}
    if side is not None and card.fixed_input_size and side != card.input_size[1]:
        options["img_size"] = side
    if checkpoint is not None or not pretrained:
        with random_weights():
            network = awake(timm.create_model(arch, pretrained=False, **options))
        return network if checkpoint is None else fill(network, read(checkpoint), checkpoint)
    return from_hub(lambda: timm.create_model(arch, pretrained=True, **options), f"timm's weights of {arch}")


def side(arch: str) -> int:
    """The side of the square picture that timm tests `arch` with. `resnet50.tv2_in1k` saw 176 pixels in training; its
    published accuracy is that of 224."""
    card = _card(_timm(), arch)
    return int((card.test_input_size or card.input_size)[1])


def _card(timm: ModuleType, arch: str) -> Any:  # timm's PretrainedCfg
    if not timm.is_model(arch):
        raise ValueError(f"timm has no network {arch!r}; near names: {near(arch, timm.list_models(), 5)}")
    return timm.get_pretrained_cfg(arch)


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"model=timm needs timm: pip install -e '.[timm]' ({error})") from error
    return timm
