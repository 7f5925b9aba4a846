"""Whether a method leaves the network as it was: what stays behind changes the next method's rows."""

import torch
from torch import nn

from eval.networks.classifier import Classifier

HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
)  # fmt: skip
REMEDIES = {
    "the number of hooks": "remove() the handle in a `finally`",
    "the mode": "network.eval() puts it back",
    "requires_grad": "requires_grad_(False) puts it back; a gradient can start at a layer's output instead",
}
EVERY = 64  # pictures between two sums over all weights


class Changed(RuntimeError):
    """A method changed what every other method relies on; no picture can be skipped for it."""


class Guard:
    """Remembers a classifier at its making; `check` raises Changed, naming the method and what it changed.

    Hooks, modes, gradients and torch's own modes are compared after every picture; the values of all weights after the
    first, then now and then, and at the end (`values=True`), since no counter sees a write through `.data`.
    """

    def __init__(self, classifier: Classifier | None, method: str):
        self.network, self.method = None if classifier is None else classifier.network, method
        self.pictures = 0
        self.state = self._state()
        self.sums = self._sums()

    def check(self, values: bool = False) -> None:
        """Compare with the beginning. `values`: the weights' values too."""
        self.pictures += 1
        state = self._state()
        if state != self.state:
            name = next(name for name in {**state, **self.state} if state.get(name) != self.state.get(name))
            before, now = self.state.get(name), state.get(name)
            remedy = next((f"; {text}" for what, text in REMEDIES.items() if name.startswith(what)), "")
            raise Changed(f"method {self.method} leaves {name} changed behind: {before} became {now}{remedy}")
        if values or self.pictures == 1 or self.pictures % EVERY == 0:
            sums = self._sums()
            if sums != self.sums:
                name = next(name for name in sums.keys() | self.sums if sums.get(name) != self.sums.get(name))
                raise Changed(
                    f"method {self.method} changes the network's weights: {name} has other values than before; rows of "
                    f"the last {EVERY} pictures may be of the changed network: remove the run"
                )

    def _state(self) -> dict[str, object]:
        state: dict[str, object] = {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's number of threads": torch.get_num_threads(),
        }
        if self.network is None:
            return state
        for name, module in self.network.named_modules():
            where = name or "the network"
            state[f"the mode of {where}"] = "training" if module.training else "eval"
            state[f"the number of hooks on {where}"] = sum(len(getattr(module, kind, ())) for kind in HOOKS)
            state[f"the class of {where}"] = type(module).__name__
            overwritten = tuple(sorted(key for key in vars(module) if key == "forward" or callable(vars(module)[key])))
            state[f"the functions set on {where}"] = overwritten
        for name, tensor in self._tensors():
            state[f"requires_grad of {name}"] = tensor.requires_grad
            state[f"a gradient of {name}"] = tensor.grad is not None if tensor.is_leaf else False
            state[f"the count of writes into {name}"] = 0 if tensor.is_inference() else tensor._version
        return state

    def _tensors(self) -> list[tuple[str, torch.Tensor]]:
        network: nn.Module = self.network  # type: ignore[assignment]
        return [*network.named_parameters(), *network.named_buffers()]

    def _sums(self) -> dict[str, float]:
        if self.network is None:
            return {}
        with torch.no_grad():
            tensors = [(name, each) for name, each in self._tensors() if each.numel() and not each.is_quantized]
            if not tensors:
                return {}
            # The second sum moves where values are permuted or two changes cancel.
            sums = torch.stack([each.float().sum() + each.float().flatten()[::7].square().sum() for _, each in tensors])
        return {name: value if value == value else 0.0 for (name, _), value in zip(tensors, sums.tolist(), strict=True)}
