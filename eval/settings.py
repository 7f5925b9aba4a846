"""Checks of the plain settings of a run, before any work."""

import os

import torch

from eval.journal import SYNCS

SUBSETS = ("all", "diff")


def device_of(name: str) -> str:
    """auto -> cuda where there is a GPU, else cpu. ValueError for an unknown or missing device."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {name!r}") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return name


def shard_of(text: str | None) -> tuple[int, int] | None:
    """ "3/16" -> (3, 16); None -> None. ValueError unless 1 <= i <= n."""
    if text is None:
        return None
    number, _, count = str(text).partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"shard must be i/n with 1 <= i <= n, for example 3/16, not {text!r}")
    return int(number), int(count)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_of(asked: int | None, device: str) -> int:
    """Processes that decode ahead: `asked`, or, if None, what keeps `device` busy.

    A network on the CPU needs one at most. A process delivers about 140 pictures/s (`scripts.benchmark data`), a large
    card takes about 400/s by the fastest methods: four, as far as there are cores beside the one that feeds the card.
    """
    if asked is not None:
        return asked
    return max(1, min(4, cores() - 1)) if torch.device(device).type == "cuda" else 1


def validate(cfg) -> None:
    """ValueError names the first setting whose value cannot be meant; cfg as conf/config.yaml."""
    device_of(str(cfg.device))
    shard_of(cfg.shard)
    if cfg.dataset.subset not in SUBSETS:
        raise ValueError(f"dataset.subset must be one of {', '.join(SUBSETS)}, not {cfg.dataset.subset!r}")
    if cfg.on_error not in ("stop", "skip"):
        raise ValueError(f"on_error must be stop or skip, not {cfg.on_error!r}")
    if cfg.sync not in SYNCS:
        raise ValueError(f"sync must be {' or '.join(SYNCS)}, not {cfg.sync!r}")
    if not isinstance(cfg.save_maps, bool):
        raise ValueError(f"save_maps must be true or false, not {cfg.save_maps!r}")
    for name, least in (("seed", 0), ("workers", 0), ("limit", 1), ("batch_pictures", 1)):
        value = cfg[name]
        if (value is None and name in ("limit", "workers")) or (type(value) is int and value >= least):
            continue
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
