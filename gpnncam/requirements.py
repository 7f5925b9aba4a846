"""What a network must do before its answers may be read: take pictures, return logits, and the same ones twice."""

from typing import Protocol

import torch
from torch import Tensor, nn

from gpnncam.inputs import channels_of, eager
from gpnncam.outputs import probes, settled

CLOSE = 1e-3  # of the largest logit: a card adds in another order from pass to pass, a batch in another shape


class Asked(Protocol):
    """A classifier, as far as it is examined."""

    network: nn.Module
    device: torch.device
    side: int
    channels: int

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) RGB in [0,1] -> what the network takes."""


def frozen(network: nn.Module, device: torch.device) -> nn.Module:
    """The network changed in place: out of `torch.compile`, in eval mode, without gradients of parameters, and with no
    activation in place (a method that keeps the input of a ReLU must not find it overwritten)."""
    network = eager(network).eval().to(device)
    for parameter in network.parameters():  # a ScriptModule has no requires_grad_ of its own
        parameter.requires_grad_(False)
    for module in network.modules():
        if getattr(module, "inplace", False) and not isinstance(module, torch.jit.ScriptModule):
            # torch's stubs know no flags of modules.
            module.inplace = False  # type: ignore[assignment]
    return network


def adapt(classifier: Asked, kind: str | None) -> int:
    """Let the classifier show the network what it takes, and make logits of what it returns.

    Args:
        classifier: `channels` is set to 1 where the network takes grey pictures.
        kind: what the outputs are, see `gpnncam.outputs`.

    Returns:
        The number of outputs.

    Raises:
        ValueError: the network takes no pictures, or its outputs are no logits (B,C) or (B,C,i,j).
    """
    side, device = classifier.side, classifier.device
    blank = classifier.normalise(torch.zeros(1, 3, side, side, device=device))
    if classifier.channels == 3:
        classifier.channels = channels_of(classifier.network, blank)
    pictures = [classifier.normalise(picture) for picture in probes(side, device)]
    count = output_count(classifier.network, pictures[0])
    change = settled(classifier.network, kind, pictures)
    if change is None:
        return count
    classifier.network.register_forward_hook(lambda _module, _inputs, output: change(output))
    return output_count(classifier.network, pictures[0])


def output_count(network: nn.Module, pixels: Tensor) -> int:
    """How many outputs the network has, from one forward pass of pixels (1,C,h,w).

    ValueError, in the words of its author: the output is no tensor (B,C) or (B,C,i,j).
    """
    with torch.no_grad():
        output = network(pixels)
    if isinstance(output, Tensor) and output.dim() in (2, 4) and len(output) == 1:
        return output.shape[1]
    if isinstance(output, Tensor):
        got = f"a tensor {tuple(output.shape)} for a picture {tuple(pixels.shape)}"
    elif isinstance(output, dict):
        got = f"a {type(output).__name__} with {', '.join(map(repr, output))}"
    else:
        got = f"a {type(output).__name__}"
    raise ValueError(
        f"the network returns {got}; wrap it in a module whose forward returns the logits alone, (B,C), or "
        "score maps (B,C,i,j)"
    )


def examine(classifier: Asked) -> None:
    """ValueError where two forward passes of one picture differ, alone or beside another picture.

    Such a network (dropout that is always on, batch norm in training mode) gives a map and a score of two different
    networks, and numbers that depend on the batch.
    """
    for name, module in classifier.network.named_modules():
        if module.training:
            raise ValueError(
                f"after eval() {name or 'the network itself'} is still in training mode: its answers depend on the "
                "other pictures of a batch"
            )
        if ".quantized.dynamic" in type(module).__module__:
            raise ValueError(
                f"layer {name!r} is quantised dynamically ({type(module).__name__}): the scale of its input depends "
                "on the other pictures of a batch, so what it answers is no property of the picture; quantise it "
                "statically, or take the network as it was"
            )
    pixels = probes(classifier.side, classifier.device)[:2]
    with torch.no_grad():
        first, second = (classifier.network(classifier.normalise(pixels)) for _ in range(2))
        alone = classifier.network(classifier.normalise(pixels[:1]))
    if not torch.isfinite(first).all():
        return  # the picture that has such a score is named when it comes
    for one, other, how in ((first, second, "alike"), (first[:1], alone, "without another one beside it")):
        difference = (one - other).abs().max().item()
        if difference > CLOSE * first.abs().max().item():
            raise ValueError(
                f"two forward passes of one picture, the second {how}, differ by {difference:.3g}: the network draws "
                "random numbers, or keeps something from pass to pass; what it answers is no property of the picture"
            )
