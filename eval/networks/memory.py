"""Memory of forward passes on a CPU."""

import ctypes
import os
from functools import cache

# glibc's mallopt(3). A block below 32 MB, the largest value that it takes, lies on the heap, and the heap keeps up to
# 2 GB of free memory at its end.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_VALUES = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 2**31 - 1}


@cache
def keep_memory() -> bool:
    """Let this process keep what a forward pass frees for the next one. True where the C library does so.

    By default glibc returns activations of some megabytes to the system, which fills their pages with zeros again for
    the next pass: a tenth of a large network's time, up to a third of a small one's (results/tables/gpnncam.md).
    What is computed stays the same to the bit. False with another C library, or where the environment says something
    of its own (a variable MALLOC_..., or GLIBC_TUNABLES).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(name, value) == 1 for name, value in _VALUES.items())
