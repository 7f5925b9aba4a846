"""What a network takes: pictures of three channels or of one; and a network out of `torch.compile`."""

import inspect
import types
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's grey pictures have it
BRING = "wrap it in a module whose forward takes pictures (B,3,h,w) and returns logits (B,C)"


def eager(network: nn.Module) -> nn.Module:
    """The network as it was written, in place: `torch.compile` taken off the whole and off each of its parts, since
    what is compiled calls no hooks."""
    while isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
        network = inner
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            while isinstance(inner := getattr(child, "_orig_mod", None), nn.Module):
                module._modules[name] = child = inner
    for module in network.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        if getattr(module, "_compiled_call_impl", None) is not None:  # module.compile()
            module._compiled_call_impl = None
        original = getattr(module.forward, "_torchdynamo_orig_callable", None)  # module.forward = torch.compile(...)
        if original is not None:
            own = "forward" in vars(module)  # else the class's method was compiled
            module.forward = original if own else types.MethodType(original, module)  # type: ignore[method-assign]
    return network


def statistic(name: str, values: Sequence[float], device: torch.device) -> Tensor:
    """The mean or deviation of the training data, one number a channel, as (1,3,1,1); ValueError for another count."""
    given = [float(value) for value in values]
    if len(given) not in (1, 3):
        raise ValueError(f"{name} has {len(given)} numbers: red, green and blue, or one for a network of grey pictures")
    return torch.tensor(given, device=device).view(1, -1, 1, 1).expand(1, 3, 1, 1)


def normalised(pixels: Tensor, mean: Tensor, std: Tensor, channels: int) -> Tensor:
    """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,channels,h,w): (pixels - mean) / std, with one channel of what is grey.
    ValueError where three means or deviations differ, since a grey picture has one."""
    pixels = pixels if pixels.dim() == 4 else pixels[None]
    if channels == 3:
        return (pixels - mean) / std
    if len({*mean.flatten().tolist()}) > 1 or len({*std.flatten().tolist()}) > 1:
        raise ValueError(
            "the network takes pictures of one channel, so its training data had one mean and one deviation: "
            "model.mean=[M] model.std=[S], in Python mean=[M], std=[S]"
        )
    weights = torch.tensor(LUMA, device=pixels.device, dtype=pixels.dtype).view(1, 3, 1, 1)
    grey = (pixels * weights).sum(1, keepdim=True) if pixels.shape[1] == 3 else pixels
    return (grey - mean[:, :1]) / std[:, :1]


def channels_of(network: nn.Module, picture: Tensor) -> int:
    """How many channels of picture (1,3,h,w) the network takes: 3, or 1, a grey picture.

    Raises:
        ValueError: neither; it says what the network takes and what to wrap.
    """
    error = _refusal(network, picture)
    if error is None:
        return 3
    if _refusal(network, picture[:, :1]) is None:
        return 1
    raise ValueError(f"the network cannot take a picture {tuple(picture.shape)} of {picture.dtype}: {error}")


def _refusal(network: nn.Module, picture: Tensor) -> str | None:
    """Why a network cannot take a picture, in words; None: it can."""
    try:
        with torch.no_grad():
            network(picture)
        return None
    except Exception as problem:
        return _reason(network, picture) or f"{str(problem).strip().partition(chr(10))[0]}; {BRING}"


def _reason(network: nn.Module, picture: Tensor) -> str | None:
    if more := _inputs(network):
        return f"its forward takes {len(more)} inputs ({', '.join(more)}); {BRING}, and supplies the others itself"
    of_video = picture[:, :, None].expand(-1, -1, 16, -1, -1)
    for what, shaped in (("(B,C,t,h,w)", of_video), ("(B,t,C,h,w)", of_video.transpose(1, 2))):
        if _takes(network, shaped) or _takes(network, shaped[:, :1]) or _takes(network, shaped[:, :, :1]):
            return f"it takes volumes or video {what}; {BRING}, and makes the volume itself"
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            return f"it takes volumes or video (its layer {name!r} is a {type(module).__name__}); {BRING}"
        if isinstance(module, nn.Conv1d):
            return f"it takes sequences (its layer {name!r} is a Conv1d); {BRING}"
        if isinstance(module, nn.Conv2d):
            taken = module.in_channels
            return None if taken in (1, 3) else f"its first layer, {name!r}, takes {taken} channels; {BRING}"
    return None


def _takes(network: nn.Module, picture: Tensor) -> bool:
    try:
        with torch.no_grad():
            network(picture)
    except Exception:
        return False
    return True


def _inputs(network: nn.Module) -> list[str]:
    """The inputs that forward cannot do without, if there are several."""
    try:
        parameters = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [each.name for each in parameters if each.kind in kinds and each.default is inspect.Parameter.empty]
    return needed if len(needed) > 1 else []
