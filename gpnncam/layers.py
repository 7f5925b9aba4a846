"""Which layers of a network a method reads where nobody names any: one rule, for `wrap`, `run.py` and every script.

A convolutional network's trunk is the module whose children have the most resolutions; a stage is all that has one
resolution, and its last layer counts. The paper (GPNN-CAM) reads ResNet50's stages so: layer4, layer3, layer2. Where a
trunk ends in a pool (VGG, AlexNet) a stage ends in one too: the paper reads what VGG16's pools return, and, of VGG16
with batch norm, the last batch norm before each pool. GradCAM reads the layer before the last pool, as TorchRay does.

A transformer's layers are the first normalisations of its blocks: the last block's, since behind its attention no patch
has a gradient from a head that reads the class token (pytorch-grad-cam's documentation advises the same layer), and
those a third and two thirds of the depth before it.
"""

import torch
from torch import nn

from gpnncam.reading import Reading

# What a pool returns has the resolution of the next stage, so it is no stage's last layer unless the trunk ends in one.
ENDS = (nn.MaxPool2d, nn.AvgPool2d)
POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, *ENDS)
# How many stages a use reads, and how many deeper ones it leaves out.
USES = {"cam": (0, 1), "gpnncam": (0, 3), "relevance": (0, 1), "excitation": (1, 1), "refine": (0, 4)}
NAME_ONE = (
    "name one: model.layers.cam=[NAME], in Python wrap(..., layers=[NAME]) (python -m scripts.layers lists layers)"
)


def layers_by_rule(reading: Reading) -> dict[str, list[str]]:
    """The layers that methods read, deep to shallow.

    Args:
        reading: the network and how its layers are read.

    Returns:
        {use: names of layers} for every use in USES.

    Raises:
        ValueError: the rule finds no layer, or tokens whose order nobody knows; it names layers that could be meant.
    """
    trunk = _trunk(reading)
    if tokens := _tokens_behind(reading, trunk):
        stages = _blocks(reading, tokens)
    elif trunk and isinstance(_module(reading, trunk[-1]), ENDS):
        return _of_pools(reading, trunk)
    else:
        stages = _stages(reading, trunk)
    if not stages and any(isinstance(module, torch.jit.ScriptModule) for module in reading.network.modules()):
        raise ValueError("the network is TorchScript, whose layers cannot be read: only methods that read none run")
    if not stages:
        error = reading.observed().error
        raise ValueError(
            f"no layer returns maps larger than 1 x 1 by the rule{f' (the pass ended: {error})' if error else ''}; "
            f"{NAME_ONE}"
        )
    return _by_use(stages)


def _by_use(stages: list[str]) -> dict[str, list[str]]:
    return {use: stages[skipped : skipped + count] or stages[-1:] for use, (skipped, count) in USES.items()}


def _trunk(reading: Reading) -> list[str]:
    """The children of the module with the most resolutions that return maps, no tokens, once a pass, as they run."""
    children: dict[str, list[str]] = {}
    seen = reading.observed()
    scores = _scores(reading)
    for name in (name for name in seen.returned if name not in seen.repeated):  # what runs twice is no one map
        grid = reading.grid(name) if name not in scores and len(seen.returned[name]) == 4 else None
        if grid is not None and min(grid) > 1:
            children.setdefault(name.rpartition(".")[0], []).append(name)
    best: list[str] = []
    most = 0
    for parent in sorted(children, key=lambda name: (name.count(".") + bool(name), name)):
        grids = {reading.grid(name) for name in children[parent] if not isinstance(_module(reading, name), POOLS)}
        if len(grids) > most:
            best, most = children[parent], len(grids)
    return best


def _scores(reading: Reading) -> set[str]:
    """The maps of the classes' scores: what a last 1 x 1 convolution returns, and the layers behind it."""
    names = list(reading.observed().returned)
    weighted = [place for place, name in enumerate(names) if _weighs(reading, name)]
    last = _module(reading, names[weighted[-1]]) if weighted else None
    if not isinstance(last, nn.Conv2d) or last.kernel_size != (1, 1):
        return set()
    return {name for name in names[weighted[-1] :] if _channels(reading, name) == reading.observed().outputs}


def _channels(reading: Reading, name: str) -> int | None:
    shape = reading.observed().returned[name]
    if isinstance(shape, str) or len(shape) != 4 or reading.grid(name) is None:
        return None
    return shape[3] if reading.layout(name).channels == "last" else shape[1]


def _stages(reading: Reading, trunk: list[str]) -> list[str]:
    last = {reading.grid(name): name for name in trunk if not isinstance(_module(reading, name), POOLS)}
    return [last[grid] for grid in sorted(last, key=lambda grid: grid[0] * grid[1] if grid else 0)]


def _of_pools(reading: Reading, trunk: list[str]) -> dict[str, list[str]]:
    pools = [name for name in trunk if isinstance(_module(reading, name), ENDS)]
    norms = [name for name in trunk if isinstance(_module(reading, name), nn.BatchNorm2d)]
    place = {name: number for number, name in enumerate(trunk)}
    before = [[norm for norm in norms if place[norm] < place[pool]][-1:] for pool in pools]
    ends = [norm[0] for norm in before] if all(before) and len({*map(tuple, before)}) == len(pools) else pools
    earlier = [name for name in trunk if name not in pools]
    return _by_use(pools[::-1]) | {"cam": earlier[-1:] or pools[-1:], "gpnncam": ends[::-1][: USES["gpnncam"][1]]}


def _tokens_behind(reading: Reading, trunk: list[str]) -> list[str]:
    """The layers that return (B,N,C) behind the trunk's last maps, if the network goes on with them: they are
    normalised there, or the maps had one resolution alone, as patches that are embedded have."""
    seen = reading.observed()
    names = list(seen.returned)
    start = names.index(trunk[-1]) + 1 if trunk else 0
    tokens = [
        name
        for name in names[start:]
        if isinstance(shape := seen.returned[name], tuple) and len(shape) == 3 and shape[0] * shape[1] > 1
    ]
    one = len({reading.grid(name) for name in trunk}) <= 1
    return tokens if one or any("Norm" in type(_module(reading, name)).__name__ for name in tokens) else []


def _blocks(reading: Reading, tokens: list[str]) -> list[str]:
    norms: dict[str, str] = {}  # block -> its first norm
    for name in tokens:
        if "Norm" in type(_module(reading, name)).__name__ and (block := _block(reading.modules, name)):
            norms.setdefault(block, name)
    kind = type(reading.network).__name__
    listed = ", ".join(list(norms.values())[-3:] or tokens[-3:])
    about = f"{kind} goes on with tokens (batch, tokens, channels) behind its patches"
    seen = reading.observed().returned
    layers, previous = [], None
    for block, norm in norms.items():
        # A block that begins with its attention normalises afterwards: what it gets is what the block before returned.
        if _first_weights(reading, block) == norm:
            layers.append(norm)
        elif previous is not None and isinstance(seen.get(previous), tuple):
            layers.append(previous)
        previous = block
    if not layers or len({seen[name] for name in layers}) > 1:
        why = "of several resolutions" if layers else "in no blocks that could be told"
        raise ValueError(f"{about}, {why}: layers that could be meant: {listed}; {NAME_ONE}")
    try:
        reading.layout(layers[-1])
    except ValueError as error:
        raise ValueError(f"{about}: layers that could be meant: {listed}; {error}") from None
    third = max(1, len(layers) // 3)
    return layers[::-1][::third][:3]


def _block(modules: dict[str, nn.Module], name: str) -> str | None:
    """The innermost module around a layer that has siblings of its own class: a block of a stack."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        block, stack = modules[".".join(parts[:count])], modules[".".join(parts[: count - 1])]
        if sum(type(each) is type(block) for each in stack.children()) > 1:
            return ".".join(parts[:count])
    return None


def _first_weights(reading: Reading, block: str) -> str | None:
    """The layer with weights of its own that finishes first within a block."""
    inside = (name for name in reading.observed().returned if name.startswith(f"{block}."))
    return next((name for name in inside if _weighs(reading, name)), None)


def _weighs(reading: Reading, name: str) -> bool:
    return any(True for _ in _module(reading, name).parameters(recurse=False))


def _module(reading: Reading, name: str) -> nn.Module:
    return reading.modules[name]
