"""A network with another head: one linear layer in place of its last one, read from a safetensors file.

`python -m scripts.train_head` writes such files: `weight` (C,F), `bias` (C,), and in the metadata the classes, how the
head was trained and what it is worth. F: what the network's last layer reads, behind its global pooling.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from eval.files.places import ROOT
from eval.networks.checkpoint import fill, read

PASSING = (nn.Dropout, nn.Flatten, nn.Identity, nn.AdaptiveAvgPool2d, nn.AvgPool2d)


def with_head(network: nn.Module, head: str | Path, side: int) -> tuple[nn.Module, list[str]]:
    """(the network, in eval mode, with the file's linear layer in place of its last one, the classes it answers about).

    head: relative paths count from this checkout. side: of a square picture that the network takes.
    ValueError where the file is no head of this network, or the network's answer is not its last layer's.
    """
    path = Path(head).expanduser()
    path = path if path.is_absolute() or path.exists() else ROOT / path
    state = read(path)
    if path.suffix != ".safetensors" or set(state) != {"weight", "bias"}:
        raise ValueError(
            f"{path} is no head: python -m scripts.train_head writes a safetensors file of weight and bias"
        )
    with safe_open(path, "pt") as opened:
        classes = ((opened.metadata() or {}).get("classes") or "").split(",")
    count = len(classes)
    if state["weight"].dim() != 2 or state["bias"].shape != (count,) or len(state["weight"]) != count:
        raise ValueError(f"{path}: its metadata name {count} classes, its bias has shape {tuple(state['bias'].shape)}")
    name = last_layer(network, side)
    old = network.get_submodule(name)
    width = int(old.weight.shape[1])  # type: ignore[union-attr, index, arg-type]
    if state["weight"].shape[1] != width:
        raise ValueError(f"{path} reads {state['weight'].shape[1]} features, this network's last layer {width}")
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(width, count)
    else:
        new = nn.Conv2d(width, count, 1)
        state["weight"] = state["weight"][:, :, None, None]
    network.set_submodule(name, fill(new, state, path))
    return network.eval(), classes


def last_layer(network: nn.Module, side: int) -> str:
    """The name of the linear layer, or of the 1 x 1 convolution, whose answer, averaged over its positions, is the
    network's. A ReLU behind it (SqueezeNet's) is taken out of the network: it hides which class is how absent.

    ValueError where another layer speaks last.
    """
    called: list[str] = []
    names = [name for name, module in network.named_modules() if name and not list(module.children())]
    hooks = [network.get_submodule(n).register_forward_hook(lambda *_, n=n: called.append(n)) for n in names]
    weights = next(network.parameters(), torch.zeros(()))
    pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(weights.device, weights.dtype)
    try:
        with torch.no_grad():
            network.eval()(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    behind: list[str] = []
    for name in reversed(called):
        module = network.get_submodule(name)
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
            break
        if not isinstance(module, (*PASSING, nn.ReLU)):
            raise ValueError(f"a head needs a linear layer at the network's end, which has {name!r}, {module}")
        behind += [name] if isinstance(module, nn.ReLU) else []
    else:
        raise ValueError("a head needs a linear layer at the network's end, and it has none")
    for each in behind:
        network.set_submodule(each, nn.Identity())
    with torch.no_grad(), pooled(network, name) as seen:
        answer = network(pixels)
        if answer.dim() != 2 or not torch.allclose(answer, _applied(module, seen()), rtol=1e-3, atol=1e-4):
            raise ValueError(f"the network does not end in its last linear layer {name!r}: no head can replace it")
    return name


@contextmanager
def pooled(network: nn.Module, name: str) -> Iterator[Callable[[], Tensor]]:
    """In the block, a function that returns what the layer read in the last pass, (B,F), the mean over positions."""
    seen: list[Tensor] = []
    hook = network.get_submodule(name).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))

    def latest() -> Tensor:
        values = seen.pop()
        return values.mean((2, 3)) if values.dim() == 4 else values

    try:
        yield latest
    finally:
        hook.remove()


def fits(classes: Sequence[str], answers: Sequence[str]) -> None:
    """ValueError unless the head's classes are the data set's, in order."""
    if list(classes) != list(answers):
        raise ValueError(
            f"its head answers about {', '.join(answers[:5])}, ... and the data set's classes are "
            f"{', '.join(classes[:5])}, ...: model.class_map=FILE says which outputs stand for them"
        )


def _applied(layer: nn.Module, features: Tensor) -> Tensor:
    weight, bias = layer.weight.flatten(1), layer.bias  # type: ignore[operator, union-attr]
    return nn.functional.linear(features, weight, bias)  # type: ignore[arg-type]
