"""Backward passes in which layers hand on relevance (or probability) instead of gradients.

The machinery comes from zennit, which hangs rules on modules. zennit knows additions of residual blocks and pools
written as functions in torchvision's classes alone; here we observe them while the network runs. Plain autograd hands
the full relevance to both sides of an addition, which doubles it in every block; here each side gets its share.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from zennit.core import Composite, Hook
from zennit.rules import Norm, Pass
from zennit.types import Activation, BatchNorm, Convolution, Linear

from baselines.contract import Classifier
from baselines.rectifiers import IN_PLACE, limits, rectified
from baselines.taps import Taps, check_reached, tapped

STABILIZER = 1e-9
ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
AVERAGES = {"avg_pool2d", "adaptive_avg_pool2d", "mean"}
# Their gradient is the rule: it sends relevance to where the value came from (a max pool's winner, the place before a
# reshape).
ROUTES = {"dropout", "dropout_", "max_pool2d", "adaptive_max_pool2d", "flatten", "view", "reshape"}
ROUTES |= {"squeeze", "unsqueeze", "permute", "transpose", "contiguous", "clone", "cat", "concat", "pad", "to", "float"}
ROUTES |= {"__getitem__", "chunk", "split", "unbind", "narrow", "requires_grad_"}


class Parts:
    """The positive parts of weights, w+ and (-w)+, made once per layer: a VGG16's classifier has 120 million of them.

    They take as much memory as the weights. A layer whose weights were written to since, or moved, gets new ones.
    opposed: the layer whose weights count with the opposite sign, if any.
    """

    def __init__(self) -> None:
        self.opposed: nn.Module | None = None
        self._made: dict[tuple[nn.Module, int], tuple[tuple, nn.Module]] = {}

    def layer(self, module: nn.Module, sign: int) -> nn.Module:
        """`module` without its bias, with (sign w)+ as weights. Call its `forward`: it shares the module's hooks."""
        sign = -sign if module is self.opposed else sign
        weight = cast(Tensor, module.weight)
        state = weight.data_ptr(), weight._version, weight.dtype, weight.device
        if self._made.get((module, sign), (None,))[0] != state:
            twin = copy.copy(module)
            part = (sign * weight.detach()).clamp(min=0)
            twin._parameters = {"weight": nn.Parameter(part, requires_grad=False), "bias": None}
            self._made[module, sign] = state, twin
        return self._made[module, sign][1]


class Positive(Hook):
    """R_j = sum_i (x_j w_ij)+ / (sum_k (x_k w_ik)+) R_i: LRP's alpha-beta rule with alpha 1, beta 0, without bias.

    Excitation backprop's rule is the same for inputs that are not negative. What reaches a unit with a sum of zero has
    nowhere to go and is lost.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.parts = parts

    def copy(self) -> "Positive":
        """As zennit hangs a hook on several modules."""
        return Positive(self.parts)

    def forward(self, _module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        """Keep what the layer gets."""
        self.stored_tensors["input"] = inputs[0]

    def backward(self, module: nn.Module, _grad_input: object, grad_output: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Relevance of the output (1,C,...) -> of the input."""
        values = self.stored_tensors["input"].detach()
        signs = (1, -1) if (values < 0).any() else (1,)
        with torch.enable_grad():
            inputs = [(sign * values).clamp(min=0).requires_grad_() for sign in signs]
            total = sum(self.parts.layer(module, sign).forward(part) for sign, part in zip(signs, inputs, strict=True))
        shares = torch.where(total > 0, grad_output[0] / total, torch.zeros_like(total)).detach()
        gradients = torch.autograd.grad(total, inputs, shares)
        return (sum(part.detach() * gradient for part, gradient in zip(inputs, gradients, strict=True)),)


class Apply(nn.Module):
    """A function of one tensor as a module, which is what zennit hangs a rule on."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, tensor: Tensor) -> Tensor:
        """The function's value."""
        return self.function(tensor)


class Propagation(TorchFunctionMode):
    """Within this mode, and within the composite's rules, a forward pass is ready for relevance to run backwards.

    last: the linear layer that ran last, and its input. who: the method, for messages.
    Raises ValueError for a function between modules that has no rule: its gradient would pass for relevance.
    """

    def __init__(self, parts: Parts, who: str):
        super().__init__()
        self.parts, self.who = parts, who
        self.composite = Composite(self.rule)
        self.depth = 0  # within how many modules that have a rule of their own
        self.kept: list[tuple[Apply, Hook]] = []  # zennit refers to hooks weakly
        self.last: tuple[nn.Module, Tensor] | None = None

    def rule(self, _context, _name: str, module: nn.Module) -> Hook | None:
        """The hook of a module; None: its gradient is its relevance."""
        if isinstance(module, Convolution | Linear):
            return Positive(self.parts)
        if isinstance(module, Activation | BatchNorm):
            return Pass()
        return None

    def enter_module(self, module: nn.Module, inputs: tuple) -> None:
        """A module with a rule begins; of linear ones remember the input."""
        self.depth += 1
        if isinstance(module, Convolution | Linear):
            self.last = module, inputs[0]

    def leave_module(self, _module, _inputs, _output) -> None:
        """A module with a rule ends."""
        self.depth -= 1

    def proportionally(self, function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        """function(tensor), whose relevance goes to the parts in proportion to what they contribute."""
        module = Apply(function)
        hook = Norm(stabilizer=STABILIZER)
        hook.register(module)
        self.kept.append((module, hook))
        return module(tensor)

    def forget(self) -> None:
        """Let go of the pass: hooks hold its tensors, whose graph holds the hooks, which nothing would ever free."""
        for _, hook in self.kept:
            hook.remove()
        self.kept.clear()
        self.last = None

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        if self.depth == 0:
            if name in ADDITIONS and not kwargs and all(isinstance(arg, Tensor) for arg in args[:2]):
                if args[0].requires_grad or args[1].requires_grad:
                    both = torch.stack(torch.broadcast_tensors(args[0], args[1]), -1)
                    return self.proportionally(lambda sides: sides.sum(-1), both)
            elif name in AVERAGES and args and isinstance(args[0], Tensor) and args[0].requires_grad:
                return self.proportionally(lambda tensor: function(tensor, *args[1:], **kwargs), args[0])
            elif (bounds := limits(name, args, kwargs)) is not None and args[0].requires_grad:
                values = rectified(args[0], bounds, lambda _below, above: above)  # as the rule of a module has it
                return args[0].copy_(values) if name in IN_PLACE or kwargs.get("inplace") else values
        result = function(*args, **kwargs)
        if self.depth == 0 and isinstance(result, Tensor) and result.requires_grad and name not in ROUTES:
            raise ValueError(f"{self.who} has no rule for {name!r} between the network's layer and its output")
        return result


@contextmanager
def _ruled(propagation: Propagation, network: nn.Module) -> Iterator[None]:
    """Tells the propagation when a module with a rule of its own is running."""
    handles = []
    try:
        for name, module in network.named_modules():
            if propagation.rule(None, name, module) is not None:
                handles.append(module.register_forward_pre_hook(propagation.enter_module, prepend=True))
                handles.append(module.register_forward_hook(propagation.leave_module))
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class Recording:
    """A forward pass that relevance can run back through: the network's output, the outputs of the named layers (in the
    network's own layout; `taps` makes maps of them), and the linear layer that ran last with its input."""

    output: Tensor
    layers: list[Tensor]
    taps: Taps
    last: tuple[nn.Module, Tensor] | None


@contextmanager
def propagating(
    classifier: Classifier, image: Tensor, names: Sequence[str], parts: Parts, who: str
) -> Iterator[Recording]:
    """Within the block, `torch.autograd.grad` along the pass of image (3,H,W) in [0,1] follows the rules."""
    with torch.inference_mode(False), torch.enable_grad(), tapped(classifier, names) as taps:
        propagation = Propagation(parts, who)
        network = classifier.network
        pixels = classifier.normalise(image.detach())
        with propagation.composite.context(network):
            with _ruled(propagation, network), propagation:
                output = network(pixels)
            check_reached(names, taps)
            try:
                yield Recording(output, [taps.leaf(name) for name in names], taps, propagation.last)
            finally:
                propagation.forget()


def start(classifier: Classifier, output: Tensor, target: int) -> Tensor:
    """1 for the class, as the network's output (1,C) or (1,C,i,j): shared between the outputs that stand for it, and
    between positions, as the gradient of its score is."""
    leaf = output.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.score(leaf, target).sum(), leaf)
    return gradient
