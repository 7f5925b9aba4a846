"""How the layers of one network are read as maps: each layer's layout, decided once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gpnncam.layer_shapes import Observed, observed, outputs_of
from gpnncam.layouts import Layout, Size, decide, declared, token_grid

FIRST = 4  # layers that a probe looks at
MOST_PREFIX = 16  # tokens before the patches that a probe looks for: a class token, distillation, registers


class Reading:
    """The layers of a network in eval mode, as maps.

    Args:
        network: normalised pixels (B,C,h,w) -> logits.
        grey: (height, width) in pixels -> a grey picture (1,C,height,width), normalised.
        side: of the square picture that the network takes.
        layouts: as `gpnncam.layouts.declared` reads them.

    `probing` is true during passes of its own, which a classifier does not count.
    """

    def __init__(
        self,
        network: nn.Module,
        grey: Callable[[int, int], Tensor],
        side: int,
        layouts: Mapping[str, Any] | None = None,
    ):
        self.network, self.grey, self.side = network, grey, side
        self.modules = dict(network.named_modules())
        self.declared = declared(layouts)
        self.probing = False
        self._layouts: dict[str, Layout] = dict(self.declared)
        self._seen: dict[int, Observed] = {}
        self._prefixes: dict[int, int | None] = {}

    def observed(self, height: int = 1) -> Observed:
        """What each layer returns for a grey picture, `height` times as high as `side`."""
        if height not in self._seen:
            picture = self.grey(height * self.side, self.side)
            self._seen[height] = self._uncounted(lambda: observed(self.network, picture))
        return self._seen[height]

    def layout(self, name: str) -> Layout:
        """How the layer's output becomes maps: declared, or recognised once from a grey picture's pass; ValueError says
        what to declare, or that the layer returns no maps."""
        if name not in self._layouts:
            seen = self.observed()
            shape = seen.returned.get(name)
            if shape is None:
                raise ValueError(_not_run(name, self.modules[name], seen))
            if isinstance(shape, str) or len(shape) not in (3, 4):
                raise ValueError(f"layer {name!r} returns {shape}, not feature maps (B,C,h,w)")
            self._layouts[name] = self._decided(name, shape, seen.size)
        return self._layouts[name]

    def _decided(self, name: str, shape: tuple[int, ...], size: Size) -> Layout:
        try:
            return decide(self.network, name, shape, size, None)
        except ValueError:
            if len(shape) == 3:
                prefix = self.prefix(shape[1])
                if prefix is None:
                    raise
                return Layout("tokens", prefix)
            taller = self.observed(2).returned.get(name)
            return decide(self.network, name, shape, size, taller if isinstance(taller, tuple) else None)

    def prefix(self, tokens: int) -> int | None:
        """How many of so many tokens stand before the patches; None: no probe shows it.

        The first layers with as many tokens, where a patch has hardly seen another, are asked which token moves most
        when a patch of the picture changes: rows of patches one by one behind a prefix, or the order is another.
        """
        if tokens not in self._prefixes:
            seen = self.observed()
            layers = [name for name, shape in seen.returned.items() if shape[:2] == (1, tokens) and len(shape) == 3]
            asked = (
                self._uncounted(partial(self._probe, name, tokens, seen.size))
                for name in [name for name in layers if name not in seen.repeated][:FIRST]
            )
            self._prefixes[tokens] = next((found for found in asked if found is not None), None)
        return self._prefixes[tokens]

    def _probe(self, name: str, tokens: int, size: Size) -> int | None:
        layer, grey = self.modules[name], self.grey(*size)
        for prefix in range(min(MOST_PREFIX, tokens - 3) + 1):
            grid = token_grid(tokens - prefix, size)
            if grid is None or min(grid) < 2:
                continue
            cells = [(0, 0), (0, grid[1] - 1), (grid[0] - 1, 0), (grid[0] // 2, grid[1] // 2)]
            pictures = [grey, *(_changed(grey, cell, grid) for cell in cells)]
            before, *after = outputs_of(self.network, layer, pictures)
            moved = [int((one - before)[0].float().norm(dim=1).argmax()) for one in after]
            if moved == [prefix + row * grid[1] + column for row, column in cells]:
                return prefix
        return None

    def _uncounted(self, act: Callable[[], Any]) -> Any:
        self.probing = True
        try:
            return act()
        finally:
            self.probing = False

    def grid(self, name: str) -> Size | None:
        """(h,w) of the maps that a layer returns for a square picture; None: no maps."""
        shape = self.observed().returned.get(name)
        if not isinstance(shape, tuple):
            return None
        try:
            layout = self.layout(name)
        except ValueError:
            return None
        if layout.channels == "tokens":
            return token_grid(shape[1] - layout.prefix, self.observed().size)
        return (shape[1], shape[2]) if layout.channels == "last" else (shape[2], shape[3])

    def reader(self, name: str, size: Callable[[], Size]) -> Callable[[Tensor], Tensor]:
        """The function from the layer's output, or from a gradient of its shape, to maps (B,C,h,w), a view of it.
        size: (H,W) of the picture that the network got last. It takes a forward pass where the layout is not known."""
        return partial(_read, name, self.layout(name), size)


def _changed(grey: Tensor, cell: tuple[int, int], grid: Size) -> Tensor:
    """The picture with one cell of the grid in stripes: a flat colour would be taken away by a normalisation."""
    (row, column), picture = cell, grey.clone()
    height, width = grey.shape[2] // grid[0], grey.shape[3] // grid[1]
    part = picture[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width]
    part[..., ::2] += 1
    part[..., 1::2] -= 0.5
    return picture


def _read(name: str, layout: Layout, size: Callable[[], Size], output: object) -> Tensor:
    dimensions = 3 if layout.channels == "tokens" else 4
    if not isinstance(output, Tensor) or output.dim() != dimensions:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"layer {name!r} returns {got}, no feature maps with {layout}; model.layouts says another")
    try:
        return layout.maps(output, size())
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def _not_run(name: str, module: nn.Module, seen: Observed) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return (
            f"layer {name!r} is TorchScript, whose layers cannot be read (it calls no hooks): methods that read layers "
            "need the network as Python code"
        )
    if seen.error is not None:
        return f"layer {name!r} was not reached by a picture of {seen.size[1]} x {seen.size[0]}: {seen.error}"
    return f"layer {name!r} takes no part in the network's forward pass"
