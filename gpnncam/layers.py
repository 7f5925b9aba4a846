"""Which layers of a network GPNN-CAM and GradCAM read, recognised by the sizes of what the layers return."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

STEP = 3.5  # a module that shrinks its input more than so many times holds several stages
UNSEEN = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d)


class Layers(NamedTuple):
    """gpnncam: the last layers of the three deepest stages, deep to shallow. cam: the layer that GradCAM reads, which
    is the deepest but for a pooling behind it."""

    gpnncam: list[str]
    cam: list[str]


class _Seen(NamedTuple):
    name: str
    module: nn.Module
    before: tuple[int, ...] | None  # shape of the first input, of the output; None: no tensor
    after: tuple[int, ...] | None
    runs: int


def recognise(network: nn.Module, pixels: Tensor, stages: int = 3) -> Layers:
    """The layers of a convolutional network, from one forward pass of pixels (1,3,h,w), h = w.

    A stage is all that has one resolution; its last module counts, in the order in which the network runs them, of
    those that run once, return maps (1,C,i,i) and are neither the scores of the classes nor global pooling. ValueError
    where none can be recognised: a transformer (tokens follow the maps), no maps at all.
    """
    seen, outputs = _forward(network, pixels)
    chain = [each for each in _expanded(network, "", seen) if not isinstance(each.module, UNSEEN)]
    kind = type(network).__name__
    turned = [place for place, each in enumerate(chain) if _is_turned(each.after)]
    # What lies before a change of layout is no map that a later layer could be compared with.
    rest = chain[turned[-1] + 1 :] if turned else chain
    maps = [each for each in rest if _is_map(each.after) and each.runs == 1]
    maps = [each for each in maps if each.after is not None and each.after[1] != outputs] or maps
    advice = 'name them, deep to shallow: layers=["...", ...], modules whose output is (batch, channels, h, w)'
    if not maps:
        raise ValueError(f"no layer of {kind} returns maps (batch, channels, h, w) once in a pass: {advice}")
    later = chain[chain.index(maps[-1]) + 1 :]
    if tokens := next((each for each in later if each.after is not None and len(each.after) == 3), None):
        raise ValueError(
            f"{kind} goes on with tokens {tokens.after} at {tokens.name!r} behind its last maps, at {maps[-1].name!r}: "
            f"its layers cannot be recognised; {advice}"
        )
    if isinstance(maps[-1].module, POOLS) and len(maps) > 1:
        # A pooling repeats the stage before it: the stages are then what the poolings return.
        pools = [each for each in maps if isinstance(each.module, POOLS)]
        return Layers([each.name for each in reversed(pools[-stages:])], [maps[-2].name])
    last = {each.after[2:]: each.name for each in maps if each.after is not None}
    ends = [last[size] for size in sorted(last)][:stages]
    return Layers(ends, ends[:1])


def _is_turned(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and len(shape) == 4 and shape[2] != shape[3]


def _is_map(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and len(shape) == 4 and shape[2] == shape[3] > 1


def _forward(network: nn.Module, pixels: Tensor) -> tuple[dict[str, _Seen], int | None]:
    """({name: what it saw} in the order in which modules finish, number of outputs)."""
    names = {module: name for name, module in network.named_modules()}
    seen: dict[str, _Seen] = {}

    def watch(module: nn.Module, inputs: tuple, output: object) -> None:
        name = names[module]
        runs = seen.pop(name).runs + 1 if name in seen else 1
        seen[name] = _Seen(name, module, _shape(inputs[0] if inputs else None), _shape(output), runs)

    handles = [module.register_forward_hook(watch) for module in names]
    try:
        with torch.no_grad():
            output = network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return seen, output.shape[1] if isinstance(output, Tensor) and output.dim() > 1 else None


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _expanded(module: nn.Module, prefix: str, seen: dict[str, _Seen]) -> Iterator[_Seen]:
    """The modules below `module`, in the order in which they ran, each as large as fits into one stage."""
    children = {f"{prefix}{name}": child for name, child in module.named_children()}
    order = {name: place for place, name in enumerate(seen)}
    # A container that never runs itself (ModuleList) stands where its members ran.
    groups = [_group(name, child, seen) for name, child in children.items()]
    members = sorted((each for group in groups for each in group), key=lambda each: order[each.name])
    for each in members:
        whole = _is_map(each.after) and not _several_stages(each)
        if whole or not any(True for _ in each.module.children()):
            yield each
        else:
            yield from _expanded(each.module, f"{each.name}.", seen)


def _group(name: str, module: nn.Module, seen: dict[str, _Seen]) -> list[_Seen]:
    if name in seen:
        return [seen[name]]
    return [each for key, child in module.named_children() for each in _group(f"{name}.{key}", child, seen)]


def _several_stages(each: _Seen) -> bool:
    if each.before is None or each.after is None:
        return False
    return len(each.before) == 4 and each.before[2] > STEP * each.after[2]
