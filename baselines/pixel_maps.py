"""From one number per pixel and channel to a map: how channels join."""

from torch import Tensor

CHANNELS = {
    "maximum": lambda values: values.abs().amax(1),
    "sum": lambda values: values.sum(1),
    "absolute_sum": lambda values: values.abs().sum(1),
}


def join(values: Tensor, channels: str) -> Tensor:
    """values (K,3,H,W) -> maps (K,H,W).

    channels: "maximum" of the absolute values (Simonyan et al. 2014, TorchRay), "sum", or "absolute_sum".
    """
    return CHANNELS[channels](values)
