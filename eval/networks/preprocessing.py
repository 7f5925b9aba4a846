"""What the library that made a network says about it: how pixels are normalised, and the picture it was made for."""

from dataclasses import dataclass

from torch import nn

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass(frozen=True)
class Description:
    """library: who says so. mean, std: per channel, RGB, on the [0,1] scale. side: of the input, None: any. trained: of
    the pictures of its training, where the library tests it with larger ones."""

    library: str
    mean: list[float]
    std: list[float]
    side: int | None = None
    trained: int | None = None


def described(network: nn.Module) -> Description | None:
    """The description of a network of torchvision or timm, or of one that carries a `description`; None: not known.

    torchvision's classification networks were all trained on pictures normalised alike.
    """
    network = unwrapped(network)
    if isinstance(description := getattr(network, "description", None), Description):
        return description
    module = type(network).__module__
    if module.startswith("torchvision.models.") and module.count(".") == 2:
        return Description("torchvision", *IMAGENET, 299 if type(network).__name__ == "Inception3" else None)
    card = getattr(network, "pretrained_cfg", None)
    if module.startswith("timm.") and isinstance(card, dict) and card.get("mean"):
        trained, tested = card["input_size"][1], (card.get("test_input_size") or card["input_size"])[1]
        return Description("timm", [*card["mean"]], [*card["std"]], tested, trained if trained != tested else None)
    return None


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside DataParallel or torch.compile."""
    while (inner := getattr(network, "_orig_mod", None) or _parallel(network)) is not None:
        network = inner
    return network


def _parallel(network: nn.Module) -> nn.Module | None:
    return network.module if isinstance(network, nn.DataParallel) else None
