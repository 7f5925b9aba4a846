"""GPNN-CAM: image attribution by generating images, and GPNN, the generator behind it."""

from __future__ import annotations

import importlib

# Loaded on first use: numba and the compiled kernels cost a second that `import gpnncam` need not pay.
_HOMES = {
    "Fill": "gpnncam.inpaint",
    "fill": "gpnncam.inpaint",
    "Explanation": "gpnncam.explanation",
    "GPNNCAM": "gpnncam.cam",
    "MultiscaleCAM": "gpnncam.multiscale",
    "explain": "gpnncam.explanation",
    "wrap": "gpnncam.classifier",
    "Variations": "gpnncam.gpnn",
    "variations": "gpnncam.gpnn",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'gpnncam' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
