"""From what a layer returns to feature maps (B,C,h,w): channels first, channels last, or tokens behind a prefix.

A layout is declared (`model.layouts`), or known from the layer's type, or follows from the shapes that a square picture
gives. What stays open after that is refused with the setting that says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Size = tuple[int, int]
FIRST_TYPES = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, nn.GroupNorm, nn.MaxPool2d,
    nn.AvgPool2d, nn.LPPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample, nn.ZeroPad2d,
)  # fmt: skip
LAST_TYPES = (nn.Linear, nn.LayerNorm)
# These modules keep the layout of their input.
NEUTRAL = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU,
    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Mish,
)  # fmt: skip
# Blocks of the libraries whose output has its channels last, by module and class.
LAST_BLOCKS = {
    "torchvision.models.swin_transformer": ("SwinTransformerBlock", "SwinTransformerBlockV2", "PatchMerging",
                                            "PatchMergingV2"),
    "timm.models.swin_transformer": ("SwinTransformerStage", "SwinTransformerBlock", "PatchMerging"),
    "timm.models.swin_transformer_v2": ("SwinTransformerV2Stage", "SwinTransformerV2Block", "PatchMerging"),
}  # fmt: skip
# Networks of tokens in row-major order; a number: tokens before the patches, a text: the attribute that holds it.
TOKENS: dict[str, int | str] = {
    "torchvision.models.vision_transformer.VisionTransformer": 1,
    "timm.models.vision_transformer.VisionTransformer": "num_prefix_tokens",
    "timm.models.eva.Eva": "num_prefix_tokens",
    "timm.models.beit.Beit": "num_prefix_tokens",
    "timm.models.mlp_mixer.MlpMixer": 0,
    "open_clip.transformer.VisionTransformer": 1,
}


@dataclass(frozen=True)
class Layout:
    """channels: "first" (B,C,h,w), "last" (B,h,w,C), or "tokens" (B,prefix+hw,C), rows of the picture one by one."""

    channels: str = "first"
    prefix: int = 0

    def maps(self, output: Tensor, size: Size) -> Tensor:
        """The output as a view (B,C,h,w); size: (H,W) of the picture that the network got. ValueError if the tokens are
        no grid of its shape."""
        if self.channels == "first":
            return output
        if self.channels == "last":
            return output.permute(0, 3, 1, 2)
        grid = token_grid(output.shape[1] - self.prefix, size)
        if grid is None:
            raise ValueError(
                f"{output.shape[1]} tokens, {self.prefix} of them before the patches, are no grid for a picture of "
                f"{size[1]} x {size[0]}"
            )
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, grid)

    def __str__(self) -> str:
        return f"tokens behind {self.prefix}" if self.channels == "tokens" else f"channels {self.channels}"


FIRST, LAST = Layout("first"), Layout("last")


def token_grid(count: int, size: Size) -> Size | None:
    """(h,w) with h w = count in the shape of a picture (H,W), or None."""
    fitting = [
        (h, count // h) for h in range(1, count + 1) if count % h == 0 and _shaped(h, count // h, size)
    ]  # at most one for a square picture
    return fitting[0] if len(fitting) == 1 else None


def declared(settings: Mapping[str, Any] | None) -> dict[str, Layout]:
    """{layer: layout} of `model.layouts`. Names may be nested at their dots, as settings on a command line are.

    ValueError names what is neither {channels: first}, {channels: last} nor {tokens: {prefix: N}}.
    """
    layouts: dict[str, Layout] = {}
    for name, entry in (settings or {}).items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"model.layouts: {name}: {entry!r} is no layout; {FORMS}")
        if not {"channels", "tokens"} & set(entry):
            layouts |= {f"{name}.{inner}": layout for inner, layout in declared(entry).items()}
            continue
        tokens, channels = entry.get("tokens"), entry.get("channels")
        if len(entry) == 1 and channels in ("first", "last"):
            layouts[str(name)] = Layout(channels)
        elif len(entry) == 1 and isinstance(tokens, Mapping) and set(tokens) == {"prefix"} and _count(tokens["prefix"]):
            layouts[str(name)] = Layout("tokens", tokens["prefix"])
        else:
            raise ValueError(f"model.layouts: {name}: {dict(entry)!r} is no layout; {FORMS}")
    return layouts


FORMS = "it must be {channels: first}, {channels: last} or {tokens: {prefix: N}}"


def decide(network: nn.Module, name: str, shape: tuple[int, ...], size: Size, taller: tuple[int, ...] | None) -> Layout:
    """The layout of the layer `name` that returns `shape` for a square picture (H,W).

    taller: what it returns for a picture of twice the height, None: not known. ValueError says what to declare.
    """
    if len(shape) == 3:
        return _tokens(network, name, shape, size)
    known = _of_type(network.get_submodule(name))
    if known == FIRST or (known == LAST and _shaped(shape[1], shape[2], size)):
        return known
    first, last = _shaped(shape[2], shape[3], size), _shaped(shape[1], shape[2], size)
    if first != last:
        return FIRST if first else LAST
    if taller is not None and len(taller) == 4:
        changed = [place for place in (1, 2, 3) if taller[place] != shape[place]]
        if changed in ([1], [2]):
            return LAST if changed == [1] else FIRST
    raise ValueError(
        f"layer {name!r} returns {shape}: maps (B,C,h,w) or channels last (B,h,w,C) have the same shape; "
        f"+model.layouts.{name}.channels=first or last says it"
    )


def _tokens(network: nn.Module, name: str, shape: tuple[int, ...], size: Size) -> Layout:
    parts = name.split(".")
    for count in range(len(parts), -1, -1):
        owner = network.get_submodule(".".join(parts[:count]))
        for base in type(owner).__mro__:
            prefix = TOKENS.get(f"{base.__module__}.{base.__name__}")
            prefix = getattr(owner, prefix, None) if isinstance(prefix, str) else prefix
            if prefix is not None and token_grid(shape[1] - prefix, size) is not None:
                return Layout("tokens", prefix)
    raise ValueError(
        f"layer {name!r} returns {shape}, not feature maps (B,C,h,w); if these are tokens (B,N,C), say how many stand "
        f"before the patches: +model.layouts.{name}.tokens.prefix=1"
    )


def _of_type(module: nn.Module) -> Layout | None:
    kind = type(module)
    if isinstance(module, FIRST_TYPES) or kind.__name__ == "LayerNorm2d":
        return FIRST
    if isinstance(module, LAST_TYPES):
        return LAST
    if kind.__name__ == "Permute" and list(getattr(module, "dims", ())) in ([0, 2, 3, 1], [0, 3, 1, 2]):
        return LAST if list(module.dims) == [0, 2, 3, 1] else FIRST  # type: ignore[arg-type]
    if kind.__name__ in LAST_BLOCKS.get(kind.__module__, ()):
        return LAST
    if isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward:
        deciding = [child for child in module if not isinstance(child, NEUTRAL)]
        return _of_type(deciding[-1]) if deciding else None
    return None


def _shaped(height: int, width: int, size: Size) -> bool:
    """Whether a grid has the shape of a picture (H,W): exactly for a square one, else but for less than a cell."""
    return abs(height * size[1] - width * size[0]) < max(min(size), 1) if size[0] != size[1] else height == width


def _count(value: object) -> bool:
    return type(value) is int and value >= 0
