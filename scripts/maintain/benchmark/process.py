"""A measurement in a process of its own, and what a process takes."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments) in a fresh process, whose peak memory is then its own. RuntimeError if it fails or dies."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        value, error = receiver.recv()
    except EOFError:
        value, error = None, ""
    process.join()
    if error is not None:
        raise RuntimeError(error or f"the process ended with exit code {process.exitcode}")
    return value


def _child(sender: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    try:
        sender.send((function(*arguments), None))
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {error}"))


def resident_mb() -> float:
    """The process's highest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def memory_gb(device: torch.device, before_mb: float) -> float:
    """The highest allocation on a card; on a CPU the highest resident memory above `before_mb`."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return (resident_mb() - before_mb) / 1000


def device_name(device: torch.device) -> str:
    """The card's name, or "cpu"."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
