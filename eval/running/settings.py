"""The settings of a run as values, and their checks before any work."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from eval.files.journal import SYNCS
from eval.files.places import cores
from eval.game.protocol import Protocol
from eval.records.run_folder import LONGEST

SUBSETS = ("all", "diff")


def plain(settings: Any) -> Any:
    """A config node as plain values, interpolations resolved."""
    return OmegaConf.to_container(settings, resolve=True) if OmegaConf.is_config(settings) else settings


def network_settings(cfg: DictConfig) -> DictConfig:
    """The model's settings for this data set: `model=vgg16` means another network on Pascal than on ImageNet."""
    model = cfg.model
    if "variants" not in model:
        return model
    if model.variant not in model.variants:
        raise ValueError(
            f"model={model.name} has no network for {model.variant}; it has {', '.join(model.variants)} "
            "(model=custom takes any network)"
        )
    return model.variants[model.variant]


def protocol_of(cfg: DictConfig) -> Protocol:
    """The protocol that a run's config states."""
    return Protocol.from_settings(plain(cfg.protocol))


def device_of(name: str) -> str:
    """auto -> cuda where there is a GPU, else cpu. ValueError for an unknown or missing device, and for a kind on which
    nothing of the suite was ever compared with a processor's numbers."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name)
    except RuntimeError:
        kind = None
    if kind is None or kind.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {name!r}")
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


def workers_of(given: int | None, device: str) -> int:
    """Processes that decode ahead: `given`, or, if None, what keeps `device` busy.

    A network on the CPU needs one at most. One delivers 140/s (`scripts.maintain.benchmark data`), a large
    card takes about 400/s by the fastest methods: four, as far as there are cores beside the one that feeds the card.
    """
    if given is not None:
        return given
    return max(1, min(4, cores() - 1)) if torch.device(device).type == "cuda" else 1


# Said of a setting without a value; of other settings the message gives the name alone.
WANTED = {
    "model.build._target_": "a callable that returns the network, e.g. model.build._target_=mymodule.build",
    "method.folder": "the heat maps, a file DIR/<picture key>/<class name>.npy each: method.folder=DIR",
    "method.build._target_": "a function or class of yours, e.g. method.build._target_=mymethod.explain",
}


def require(cfg: DictConfig, parts: Sequence[str]) -> None:
    """ValueError names every setting of these groups that has no value and nobody can guess."""
    lost = [key for part in parts for key in unset(cfg[part], f"{part}.")]
    if lost:
        lines = [f"{key} is not set" + (f": {WANTED[key]}" if key in WANTED else "") for key in lost]
        raise ValueError("; ".join(lines))


def unset(settings: DictConfig, prefix: str = "") -> list[str]:
    """Dotted names of all settings that have no value; interpolations are not followed."""
    names = []
    for name, value in cast(dict[str, Any], OmegaConf.to_container(settings, resolve=False)).items():
        if value == "???":
            names.append(f"{prefix}{name}")
        elif isinstance(value, dict):
            names += unset(OmegaConf.create(value), f"{prefix}{name}.")
    return names


def validate(cfg: DictConfig) -> None:
    """ValueError names the first setting whose value cannot be meant; cfg as conf/config.yaml."""
    require(cfg, ("dataset", "method", *(() if cfg.method.blind else ("model",))))
    for part in ("dataset", "method", *(() if cfg.method.blind else ("model",))):
        _check_name(f"{part}.name", cfg[part].get("name"))
    for setting in ("results", "dataset.root", "model.checkpoint", "model.head", "method.folder"):
        value = OmegaConf.select(cfg, setting)
        if value is not None and not isinstance(value, str):
            text, kind = plain_text(value), "list" if isinstance(value, ListConfig) else type(value).__name__
            raise ValueError(f"{setting} must be a path; Hydra reads a {kind}, so quote it: \"{setting}='{text}'\"")
    measures = cfg.get("measure")
    if measures is not None and not all(OmegaConf.is_dict(one) and "_target_" in one for one in measures.values()):
        raise ValueError("measure is a name of conf/measure, or several: measure=[deletion,road]")
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
    if type(cfg.method.blind) is not bool:
        raise ValueError(f"method.blind must be true or false, not {cfg.method.blind!r}")
    optional = ("limit", "draw", "workers", "measure_top_k")
    counts = (("seed", 0), ("workers", 0), ("limit", 1), ("draw", 1), ("batch_pictures", 1), ("measure_top_k", 1))
    for name, least in counts:
        value = cfg[name]
        if (value is None and name in optional) or (type(value) is int and value >= least):
            continue
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def plain_text(value: Any) -> str:
    """A config value in the letters in which it was typed, or nearly."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, ListConfig) else str(value)


def _check_name(setting: str, name: Any) -> None:
    """Names stand in tables and in folders' names: a text. Of a number nobody knows how it was typed."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{setting} must be a name, and YAML reads {name!r}, no text; quote it, in a shell \"'NAME'\"")
    if len(name) > LONGEST or not name.isprintable():
        raise ValueError(f"{setting} must be at most {LONGEST} printable characters, not {name[:LONGEST]!a}")
