"""ReLUs wherever a network computes them: modules and calls of functions alike, with a backward pass of one's own."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

IN_PLACE = ("relu_", "relu6_", "hardtanh_", "clamp_", "clamp_min_", "clip_")
# Their derivative may be negative or their output negative: what "passes positive gradients only" means there is open.
SMOOTH = ("gelu", "silu", "hardswish", "mish", "elu", "elu_", "leaky_relu", "leaky_relu_", "selu", "selu_", "celu",
          "softplus", "prelu", "rrelu")  # fmt: skip


def limits(name: str, args: tuple, kwargs: dict) -> tuple[float, float] | None:
    """Between what inputs the function `name` is the identity, (0, top), if it is a ReLU or ReLU6; None: it is none."""
    name = name.removesuffix("_")
    if name in ("relu", "relu6"):
        return 0.0, 6.0 if name == "relu6" else math.inf
    if name == "clamp_min":
        low, high = _argument(args, kwargs, 1, "min"), None
    elif name in ("clamp", "clip"):
        low, high = _argument(args, kwargs, 1, "min"), _argument(args, kwargs, 2, "max")
    elif name == "hardtanh":
        low, high = _argument(args, kwargs, 1, "min_val"), _argument(args, kwargs, 2, "max_val")
    else:
        return None
    if isinstance(low, Tensor) or isinstance(high, Tensor) or low != 0:
        return None
    return 0.0, math.inf if high is None else float(high)


def _argument(args: tuple, kwargs: dict, place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


class _Rectified(torch.autograd.Function):
    """A ReLU whose backward pass is rule(gradient below, gradient above)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bounds: tuple[float, float], rule: Callable) -> Tensor:
        low, high = bounds
        ctx.rule = rule
        ctx.save_for_backward((values > low) & (values < high))
        return values.clamp(low, None if math.isinf(high) else high)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        (passed,) = ctx.saved_tensors
        return ctx.rule(above[0] * passed, above[0]), None, None


def rectified(values: Tensor, bounds: tuple[float, float], rule: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The ReLU of values between bounds; backwards, rule(the gradient that it hands on, the gradient above it)."""
    return _Rectified.apply(values, bounds, rule)


class Rectifiers(TorchFunctionMode):
    """In this mode every ReLU of a forward pass, module or function, hands on rule(gradient below, gradient above).

    who: the method, for messages. `count`: the ReLUs so far. Raises ValueError for another activation.
    """

    def __init__(self, rule: Callable[[Tensor, Tensor], Tensor], who: str):
        super().__init__()
        self.rule, self.who, self.count = rule, who, 0

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name in SMOOTH:
            raise ValueError(
                f"{self.who} changes the gradient of ReLUs, and is defined for no other kind; the network calls {name}"
            )
        bounds = limits(name, args, kwargs)
        if bounds is None or not args or not isinstance(args[0], Tensor) or not args[0].requires_grad:
            return function(*args, **kwargs)
        self.count += 1
        values = rectified(args[0], bounds, self.rule)
        return args[0].copy_(values) if name in IN_PLACE or kwargs.get("inplace") else values
