"""What the outputs of a network are: logits, or probabilities that are made logits before anyone reads them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

KINDS = ("logits", "probabilities", "one_logit", "one_probability")
SETTING = 'model.outputs={0}, in Python outputs="{0}"'
CLOSE = 1e-2  # of a sum of probabilities: half precision rounds a thousand of them
MANY = 20  # that so many outputs lie in [0,1] on every probe is no accident
SIGMOIDS = (nn.Sigmoid, nn.Hardsigmoid)
PROBABILITIES = ("softmax", "sigmoid")


def probes(side: int, device: torch.device) -> Tensor:
    """Pictures (P,3,side,side) RGB in [0,1] that a network says different things about: noise, and plain colours."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 3, side, side, generator=generator)
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]).view(5, 3, 1, 1)
    return torch.cat([noise, colours.expand(-1, -1, side, side)]).to(device)


def class_probability(score: Tensor, output: Tensor, kind: str, setting: str = "probability") -> Tensor:
    """The probability of the class that has this score.

    Args:
        score: (B,) logsumexp of the class's outputs over positions.
        output: (B,C) or (B,C,i,j) logits, all that the network says.
        kind: "softmax": the class's outputs against all, as networks of ImageNet were trained; "sigmoid": of its
            score alone, as multi-label networks were trained; the score of a map is the log of the mean exp.
        setting: what a refusal names.

    Returns:
        (B,) in [0,1], in the precision of the output.

    Raises:
        ValueError: an unknown kind; a softmax that says nothing.
    """
    if kind == "softmax":
        refuse_one_output(output, setting)
        return (score - output.flatten(1).logsumexp(1)).exp().clamp(max=1)
    if kind == "sigmoid":
        return torch.sigmoid(score - math.log(output[0, 0].numel()))
    raise ValueError(f"probability is {kind!r}; known are {', '.join(PROBABILITIES)}")


def refuse_one_output(output: Tensor, setting: str) -> None:
    """ValueError where a softmax says nothing: over one output (B,1[,i,j]), whose probability is 1 in any picture, and
    over z and -z, which are one output read as two classes."""
    if output.shape[1] == 1 or (output.shape[1] == 2 and output.any() and (output[:, 0] == -output[:, 1]).all()):
        raise ValueError(
            "a softmax over one output is 1 whatever the picture, and z and -z are one logit, whose probability is a "
            f"sigmoid: {setting}=sigmoid"
        )


def settled(network: nn.Module, kind: str | None, pictures: list[Tensor]) -> Callable[[Tensor], Tensor] | None:
    """What makes logits of the network's output; None: they are logits.

    Args:
        network: in eval mode.
        kind: one of KINDS, or None: logits, unless the outputs look like probabilities.
        pictures: normalised probes (1,C,h,w).

    Returns:
        A function of the output (B,C) or (B,C,i,j). Probabilities that sum to 1 become their logarithms, others
        log(p / (1 - p)); of one output z the two classes' logits are z and -z.

    Raises:
        ValueError: the outputs are probabilities and nobody said so, or are not what `kind` says.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"outputs is {kind!r}; known are {', '.join(KINDS)}")
    if kind == "logits":
        return None
    found = []
    with torch.no_grad():
        for picture in pictures:
            found.append(network(picture).float().unsqueeze(-1).flatten(2).cpu())
            if kind is None and not _bounded(found[-1]):
                return None  # logits, known from the first pass
    answers = torch.stack(found)
    classes, bounded = answers.shape[2], _bounded(answers)
    if kind is None:
        if why := _looks(network, answers, pictures):
            other = "probabilities" if classes > 1 else "one_probability"
            raise ValueError(
                f"the outputs are probabilities, no logits: {why}. {SETTING.format(other)} reads their logarithms; "
                f"{SETTING.format('logits')} takes them as they are"
            )
        return None
    if kind.startswith("one_") and classes != 1:
        raise ValueError(f"{SETTING.format(kind)} is for a network of one output; this one has {classes}")
    if kind == "one_logit":
        return _opposed
    if not bounded:
        raise ValueError(
            f"{SETTING.format(kind)}, but the network returns {answers.min():.3g} to {answers.max():.3g}: "
            "probabilities lie in [0, 1]"
        )
    if kind == "one_probability":
        return lambda output: _opposed(_log_odds(output))
    return _logarithms if _sums_to_one(answers) else _log_odds


def _bounded(answers: Tensor) -> bool:
    return bool(((answers >= 0) & (answers <= 1)).all())


def _looks(network: nn.Module, answers: Tensor, pictures: list[Tensor]) -> str:
    """Why outputs in [0,1] are probabilities; "" if nothing says so."""
    if _sums_to_one(answers):
        return "they sum to 1 for every probe"
    if _ends_in_sigmoid(network, pictures[0]):
        return "a sigmoid returns them"
    return "all lie in [0, 1] for every probe" if answers.shape[2] >= MANY and answers.any() else ""


def _sums_to_one(answers: Tensor) -> bool:
    return answers.shape[2] > 1 and bool(((answers.sum(2) - 1).abs() < CLOSE).all())


def _ends_in_sigmoid(network: nn.Module, picture: Tensor) -> bool:
    ran: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, _inputs, _output: ran.append(module))
        for module in network.modules()
        if not any(True for _ in module.children()) and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        with torch.enable_grad():
            output = network(picture.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    # Behind the sigmoid a network may still change the shape: those steps have one parent that requires a gradient.
    step = output.grad_fn
    while step is not None and step.name().startswith(("View", "Squeeze", "Unsqueeze", "Reshape", "ToCopy", "Clone")):
        step = step.next_functions[0][0]
    called = step is not None and step.name().startswith(("Sigmoid", "Hardsigmoid"))
    return called or bool(ran and isinstance(ran[-1], SIGMOIDS))


def _logarithms(output: Tensor) -> Tensor:
    return output.float().clamp_min(torch.finfo(torch.float32).tiny).log()


def _log_odds(output: Tensor) -> Tensor:
    return torch.logit(output.float(), eps=torch.finfo(torch.float32).eps)


def _opposed(output: Tensor) -> Tensor:
    return torch.cat([output, -output], 1)
