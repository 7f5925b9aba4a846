"""What made a number: versions, commit, hardware, weights. Stands beside the rows of every run."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from eval.settings import cores

PACKAGES = ("torch", "torchvision", "numpy", "numba", "grad-cam", "captum", "zennit", "hydra-core", "pillow")


def provenance(device: str) -> dict:
    """Versions, git commit (None outside a checkout), hardware and date, as plain values."""
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "hardware": _hardware(device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def weights_digest(network: nn.Module) -> str:
    """Sixteen hex digits that identify a network's parameters and buffers by name, shape and value."""
    told = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        told.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        told.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()[:16]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _hardware(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(torch.device(device))
    return f"{platform.machine()}, {cores()} cores, {torch.get_num_threads()} threads"
