"""Attention of a vision transformer, and gradients with respect to it, without touching how the network computes it.

Networks run a fused kernel that keeps no weights. Here they are recomputed, A = softmax(q k'), from what the kernel was
given (so that rotary embeddings are in q and k), or from the layer's input where no kernel ran; and A v, projected, is
checked to be what the layer returned. The gradient with respect to A follows from the one with respect to the layer's
output y = (A v) W': dA = (dy W) v'.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from baselines.contract import Classifier
from gpnncam.features import full

CLOSE = 1e-3  # of the largest output: kernels add in another order, and half precision has three digits
HALF_CLOSE = 5e-2


@dataclass
class Attended:
    """One attention layer in one pass: weights (heads,N,N), rows sum to 1; values (heads,N,d); projection (C,heads d);
    output (1,N,C), which gradients are taken for."""

    weights: Tensor
    values: Tensor
    projection: Tensor
    output: Tensor

    def gradient(self, of_output: Tensor) -> Tensor:
        """(heads,N,N), the gradient with respect to the weights from that with respect to the output (1,N,C)."""
        mixed = full(of_output[0]) @ self.projection
        return mixed.unflatten(1, (len(self.values), -1)).transpose(0, 1) @ self.values.transpose(1, 2)


@dataclass
class Pass:
    """layers: in the order in which they ran. blocks: the output (1,N,C) of each layer's block."""

    layers: list[Attended] = field(default_factory=list)
    blocks: list[Tensor] = field(default_factory=list)


class Kernel(TorchFunctionMode):
    """Within this mode `seen` holds query, key and value (heads,N,d) of the last call of the fused kernel for one
    picture, the query scaled as the kernel scales it, until somebody takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] | None = None

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is functional.scaled_dot_product_attention:
            query, key, value = (full(each.detach()[0]) for each in args[:3])
            scale = kwargs.get("scale")
            self.seen = [query * (query.shape[-1] ** -0.5 if scale is None else scale), key, value]
        return function(*args, **kwargs)

    def take(self) -> list[Tensor] | None:
        """What was seen since the last time."""
        seen, self.seen = self.seen, None
        return seen


class Transformer:
    """The attention layers of a classifier's network, and the blocks that they stand in.

    Raises ValueError where the network has none, or none between all tokens of a grid (Swin's lies within windows).
    """

    def __init__(self, classifier: Classifier, who: str):
        self.classifier, self.who = classifier, who
        self.names = [name for name, module in classifier.network.named_modules() if _is_attention(module)]
        if not self.names:
            raise ValueError(f"{who} reads attention between tokens, and the network has no layer of that kind")
        self.blocks = [name.rpartition(".")[0] for name in self.names]
        self.reader = classifier.reader(self.blocks[-1])
        # Noise: where all tokens are alike, any attention gives the same.
        noise = torch.rand(3, classifier.side, classifier.side, generator=torch.Generator().manual_seed(0))
        noise = noise.to(classifier.device)
        with self.attending() as seen:
            classifier.network(classifier.normalise(noise))
        if len({block.shape for block in seen.blocks}) > 1:
            raise ValueError(f"{who} needs the same tokens in all blocks of the network")
        self._read = self._tokens_read(noise)

    @contextmanager
    def attending(self, apart: bool = False) -> Iterator[Pass]:
        """Within the block each forward pass of one picture adds to the yielded `Pass`, with gradients.

        apart: every block goes on from a constant, and the last one hands on the outputs of all blocks, one picture
        each: row l of the network's output is what its head makes of block l, and depends on layer l's attention alone.
        """
        seen, kernel = Pass(), Kernel()

        def forget(_module: nn.Module, _inputs: tuple) -> None:
            kernel.take()

        def attention(name: str) -> Callable:
            def hook(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> Tensor | tuple:
                got = output[0] if isinstance(output, tuple) else output
                leaf = got if got.requires_grad and not apart else got.detach().requires_grad_()
                seen.layers.append(self._attended(name, module, inputs, leaf, kernel.take()))
                return (leaf.clone(), *output[1:]) if isinstance(output, tuple) else leaf.clone()

            return hook

        def block(name: str) -> Callable:
            def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor | None:
                if not isinstance(output, Tensor) or output.dim() != 3:
                    raise ValueError(f"{self.who} needs blocks that return tokens (B,N,C), which {name!r} does not")
                seen.blocks.append(output)
                if not apart:
                    return None
                return torch.cat(seen.blocks) if name == self.blocks[-1] else output.detach()

            return hook

        handles = []
        try:
            for name, parent in zip(self.names, self.blocks, strict=True):
                layer = self.classifier.module(name)
                handles.append(layer.register_forward_pre_hook(forget))
                handles.append(layer.register_forward_hook(attention(name)))
                handles.append(self.classifier.module(parent).register_forward_hook(block(parent)))
            with torch.inference_mode(False), torch.enable_grad(), kernel:
                yield seen
        finally:
            for handle in handles:
                handle.remove()

    def read(self, matrix: Tensor) -> Tensor:
        """The mean (N,) of the rows (N,N) of those tokens of the last block that the network's answer depends on: the
        class token's, or all patches'."""
        prefix, patches = self._read
        mask = torch.cat([prefix, patches.expand(len(matrix) - len(prefix))])
        return matrix[mask].mean(0)

    def maps(self, rows: Tensor) -> Tensor:
        """Numbers of tokens (K,N) -> maps (K,h,w) of those that are patches."""
        return self.reader(rows[..., None])[:, 0]

    def _tokens_read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of the last block's output: which tokens before the patches are read (prefix,), and whether patches are."""
        with self.attending() as seen:
            output = self.classifier.network(self.classifier.normalise(image))
            ramp = torch.arange(1, output.numel() + 1, device=output.device, dtype=output.dtype)
            (gradient,) = torch.autograd.grad((output.flatten() * ramp).sum(), seen.blocks[-1])
        read = gradient[0].abs().amax(1) > 0
        if not read.any():
            raise ValueError(f"{self.who}: the network's answer depends on no token of its last block")
        prefix = len(read) - self.maps(read[None].float()).numel()
        return read[:prefix], read[prefix:].any()

    def _attended(
        self, name: str, module: nn.Module, inputs: tuple, leaf: Tensor, given: list[Tensor] | None
    ) -> Attended:
        with torch.no_grad():
            tokens = inputs[0] if inputs else None
            if tokens is None or tokens.dim() != 3 or len(tokens) != 1:
                got = "nothing" if tokens is None else tuple(tokens.shape)
                raise ValueError(f"{self.who} needs attention between all tokens (1,N,C); layer {name!r} gets {got}")
            parts = given or _projected(module, tokens)
            projection: Any = module.out_proj if isinstance(module, nn.MultiheadAttention) else module.proj
            weight, bias = full(projection.weight), projection.bias
            # Grouped heads, and projections of something else than all heads together, are attention of another kind.
            if parts is not None and len({each.shape for each in parts}) == 1:
                query, key, value = parts
                weights = (query @ key.transpose(1, 2)).softmax(-1)
                mixed = (weights @ value).transpose(0, 1).flatten(1)
                if mixed.shape[1] == weight.shape[1]:
                    again = functional.linear(mixed, weight, None if bias is None else full(bias))
                    close = CLOSE if leaf.dtype in (torch.float32, torch.float64) else HALF_CLOSE
                    if (again - full(leaf[0])).abs().max() <= close * full(leaf).abs().max().clamp(min=1e-6):
                        return Attended(weights, value, weight, leaf)
        raise ValueError(
            f"{self.who} recomputes attention as softmax(q k') v, which is not what layer {name!r} "
            f"({type(module).__name__}) returns"
        )


def _is_attention(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    if not (hasattr(module, "num_heads") and isinstance(getattr(module, "proj", None), nn.Linear)):
        return False
    return any(isinstance(getattr(module, part, None), nn.Linear) for part in ("qkv", "q_proj"))


def _projected(module: nn.Module, tokens: Tensor) -> list[Tensor] | None:
    """Query, key, value (heads,N,d) of tokens (1,N,C), the query scaled; None where no one layer makes all three."""
    if isinstance(module, nn.MultiheadAttention):
        joined = functional.linear(tokens[0], module.in_proj_weight, module.in_proj_bias)
        heads = module.num_heads
    else:
        parts: Any = module  # by `_is_attention`
        if not isinstance(getattr(parts, "qkv", None), nn.Linear):
            return None
        joined, heads = parts.qkv(tokens)[0], parts.num_heads
    query, key, value = joined.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)
    norms = [getattr(module, f"{part}_norm", None) or nn.Identity() for part in "qk"]
    return [full(norms[0](query)) * query.shape[-1] ** -0.5, full(norms[1](key)), full(value)]
