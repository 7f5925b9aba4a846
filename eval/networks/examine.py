"""What a network must do before its answers may become rows: return logits, and the same ones twice."""

import torch
from torch import Tensor, nn

from eval.networks.classifier import Classifier
from eval.networks.described import described

CLOSE = 1e-3  # of the largest logit: a card adds in another order from pass to pass, a batch in another shape


def output_count(network: nn.Module, pixels: Tensor) -> int:
    """How many outputs the network has, from one forward pass of pixels (1,3,h,w); the network is in eval mode.

    ValueError, in the words of its author: the output is no tensor (B,C) or (B,C,i,j).
    """
    with torch.no_grad():
        try:
            output = network(pixels)
        except (TypeError, RuntimeError, ValueError, AssertionError, IndexError) as error:
            known = described(network)
            hint = f"; it was made for protocol.input.side={known.side}" if known and known.side else ""
            raise ValueError(
                f"the network cannot take a picture {tuple(pixels.shape)} of {pixels.dtype}: {error}{hint}"
            ) from error
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


def examine(classifier: Classifier, height: int, width: int) -> None:
    """ValueError where two forward passes of one picture differ, alone or beside another picture.

    Such a network (dropout that is always on, batch norm in training mode) gives a map and a score of two different
    networks, and numbers that depend on the batch.
    """
    training = [name or "the network itself" for name, module in classifier.network.named_modules() if module.training]
    if training:
        raise ValueError(
            f"after eval() {training[0]} is still in training mode: its answers depend on the other pictures of a batch"
        )
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, height, width, generator=generator).to(classifier.device)
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
