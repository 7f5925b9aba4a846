"""What made a number: versions, commit, hardware, weights. Written beside the rows of every run."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from eval.files.places import ROOT, cores

if TYPE_CHECKING:  # reading rows needs no torch
    from torch import nn

PACKAGES = ("torch", "torchvision", "numpy", "numba", "grad-cam", "captum", "zennit", "hydra-core", "pillow")


def provenance(device: str) -> dict[str, Any]:
    """Versions, git commit (None outside a checkout), hardware and date, as plain values."""
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        **checkout(),
        "hardware": _hardware(device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def checkout() -> dict[str, Any]:
    """The git commit (None outside a checkout), and whether files of it were changed."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def weights_digest(network: nn.Module) -> str:
    """Sixteen hex digits that identify a network's parameters and buffers by name, shape and value."""
    import torch

    digest = hashlib.sha256()
    for name, entry in sorted(network.state_dict().items()):
        for value in _leaves(entry):
            if not isinstance(value, torch.Tensor):
                digest.update(f"{name} {value!r}".encode())
                continue
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            tensor = value.detach().cpu()
            if tensor.is_quantized:
                digest.update(repr(tensor.dequantize().double().sum().item()).encode())
                tensor = tensor.int_repr()
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _leaves(entry: object) -> list:
    """Quantised layers keep types and tuples of tensors beside plain tensors."""
    return [leaf for each in entry for leaf in _leaves(each)] if isinstance(entry, tuple | list) else [entry]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _hardware(device: str) -> str:
    import torch

    if torch.device(device).type == "cuda":
        tf32 = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
        return f"{torch.cuda.get_device_name(torch.device(device))}, {'TF32' if tf32 else 'float32'}"
    return f"{platform.machine()}, {cores()} cores, {torch.get_num_threads()} threads"
