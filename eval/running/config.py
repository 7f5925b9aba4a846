"""Configs from conf/ by Hydra's grammar: one job's, a sweep's, and objects made of them."""

import difflib
import importlib
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from eval.files.places import CONF, near

# Errors that a user can cause end in one clear message. Any other is our mistake and shows its traceback.
EXPECTED = (ValueError, OSError, LookupError, RuntimeError, ImportError, HydraException, OmegaConfBaseException)


# Settings that are names or places: Hydra reads 2024_11 as the number 202411, and 2024_11 and 202411 were one run.
TEXTS = re.compile(
    r"[+]*((dataset|model|method)\.name|dataset\.(root|classes|annotations|images|boxes|split)|model\.(arch|checkpoint)"
    r"|method\.folder|results|roots\.\w+)=(.+)",
    re.DOTALL,
)


def load(overrides: Sequence[str]) -> DictConfig:
    """The config of `python run.py OVERRIDES`, without an experiment's sweep. ValueError says what cannot be meant."""
    overrides = [as_text(override) for override in overrides]
    with _hydra():
        return _composed(list(overrides))


def load_jobs(overrides: Sequence[str], multirun: bool = False) -> tuple[bool, list[tuple[str, list[str], DictConfig]]]:
    """(whether it is a sweep, [(name, overrides, config) of each job]) of `python run.py OVERRIDES`.

    multirun: -m was given. An experiment can ask for a sweep itself: hydra.mode=MULTIRUN and hydra.sweeper.params. A
    launcher that runs jobs elsewhere makes a sweep of one job, too.
    The name holds the settings that are not alike in all jobs.
    """
    overrides = [as_text(override) for override in overrides]
    with _hydra():
        given = _parsed(overrides)
        swept = [each for each in given if each.is_sweep_override()]
        plain = [_written(each) for each in given if not each.is_sweep_override()]
        base = _composed(plain, return_hydra_config=True)
        sweeping = multirun or base.hydra.mode is not None
        if not sweeping and not swept and base.launcher.cluster == "here":
            # Composing takes a quarter of a second: what was composed with Hydra's own settings serves without them.
            return False, [("", list(overrides), _alone(base))]
        if swept and not sweeping:
            raise ValueError(
                f"{_written(swept[0])} names several values: -m runs a sweep over them; a comma that belongs to one "
                f"value is quoted: {_quoted(*_written(swept[0]).split('=', 1))}"
            )
        params = [f"{name}={value}" for name, value in (base.hydra.sweeper.params or {}).items()]
        jobs = list(_product([*_parsed(params), *given]))
        alike = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
        names = [" ".join(setting for setting in job if setting not in alike) for job in jobs]
        return True, [(name, job, _composed(job)) for name, job in zip(names, jobs, strict=True)]


def as_text(override: str) -> str:
    """A setting NAME=VALUE with numbers quoted where names are meant, so that they stay as they are typed."""
    match = TEXTS.fullmatch(override)
    if match is None:
        return override
    value = match[match.lastindex or 0]
    quoted = re.sub(r"(^|(?<=[\[,]))(\s*)([^\[\],'\"(){}]+?)(\s*)(?=$|[\],])", _quote_number, value)
    return override[: len(override) - len(value)] + quoted


def _quote_number(match: re.Match[str]) -> str:
    text = match[3]
    try:
        number = isinstance(OverridesParser.create().parse_override(f"a={text}").value(), int | float)
    except HydraException:
        number = False
    return f"{match[2]}'{text}'{match[4]}" if number and text.lower() not in ("true", "false") else match[0]


def instantiate(settings: DictConfig, **more: Any) -> Any:
    """Hydra's, with the error of the called code itself instead of Hydra's account of the call."""
    try:
        return hydra.utils.instantiate(settings, **more, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, TypeError):
            raise ValueError(f"{settings._target_}: {cause}") from error
        if "Error l" in str(error) and (why := _unfound(str(settings.get("_target_")))):
            raise ValueError(why) from None
        raise cause if isinstance(cause, EXPECTED) else error from error


def _unfound(target: str) -> str | None:
    """Why there is nothing of this dotted name, in words; None where it is there."""
    module, _, name = target.rpartition(".")
    if not module:
        return f"{target}: name the module too, MODULE.{target}"
    hydra_log = logging.getLogger("hydra.utils")  # it would tell in three lines what is told below in one
    before, hydra_log.disabled = hydra_log.disabled, True
    try:
        hydra.utils.get_object(target)
    except Exception:  # why is looked for below
        pass
    else:
        return None
    finally:
        hydra_log.disabled = before
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            return f"{target}: {module} imports {error.name}, which is not installed"
        return f"{target}: there is no module {error.name!r}; PYTHONPATH=DIR says where it lies"
    except Exception as error:
        return f"{target}: {module} cannot be imported: {type(error).__name__}: {error}"
    if hasattr(owner, name):
        return None
    known = [each for each in vars(owner) if not each.startswith("_")]
    return f"{target}: {module} has no {name!r}; near names: {near(name, known)}"


def callable_of(name: str) -> Any:
    """The callable of a `_target_`; ValueError says what of the name is not there."""
    if why := _unfound(name):
        raise ValueError(why)
    return hydra.utils.get_object(name)


def _hydra() -> AbstractContextManager:
    return hydra.initialize_config_dir(str(CONF), version_base="1.3")


def _parsed(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except (OverrideParseException, HydraException) as error:
            raise ValueError(_unread(override, error)) from None
    return parsed


def _unread(override: str, error: Exception) -> str:
    name, equals, value = override.partition("=")
    if not equals:
        return f"{override!r} is no setting; settings are NAME=VALUE (run.py --help lists them)"
    return (
        f"the value of {name} cannot be read: {str(error).splitlines()[0]}. Characters like = , ( ) ' # ~ & and "
        f"letters beyond ASCII are quoted twice, for the shell and for Hydra: {_quoted(name, value)}"
    )


def _quoted(name: str, value: str) -> str:
    """The setting as it is typed into a shell, so that Hydra reads the value as one text."""
    text = f"{name}='" + value.strip("'\"").replace("\\", "\\\\").replace("'", "\\'") + "'"
    return '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def _written(override: Override) -> str:
    """The override as it was given. Hydra's parser keeps it; only overrides made in code have none."""
    assert override.input_line is not None
    return override.input_line


def _product(overrides: list[Override]) -> Iterator[list[str]]:
    """Every combination of the sweeps' values; of two overrides of one key the later one holds."""
    choices: dict[str, list[str]] = {}
    for each in overrides:
        key = each.get_key_element()
        choices.pop(key, None)
        if not each.is_sweep_override():
            choices[key] = [_written(each)]
        elif isinstance(value := each.value(), Glob):
            files = sorted(path.stem for path in (CONF / each.key_or_group).glob("*.yaml"))
            choices[key] = [f"{key}={name}" for name in value.filter(files)]
        else:
            choices[key] = [f"{key}={text}" for text in each.sweep_string_iterator()]
    return (list(job) for job in itertools.product(*choices.values()))


def _composed(overrides: list[str], **more: bool) -> DictConfig:
    _parsed(overrides)
    try:
        cfg = hydra.compose("config", overrides=overrides, **more)
    except MissingConfigException as error:
        raise ValueError(_missing(error)) from None
    except ConfigCompositionException as error:
        raise ValueError(_refused(overrides, error)) from None
    _expand(cfg)
    _take_side(cfg, overrides)
    if not OmegaConf.is_missing(cfg, "results"):
        cfg.results = str(Path(str(cfg.results)).expanduser())
    return cfg


def _alone(cfg: DictConfig) -> DictConfig:
    """Without Hydra's own settings."""
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _expand(cfg: DictConfig) -> None:
    """Replace `method.build.inner=NAME` by that method's settings, which belong to the identity."""
    for method in (cfg.method, *(cfg.get("companions") or {}).values()):
        while OmegaConf.is_dict(method.get("build")) and isinstance(method.build.get("inner"), str):
            method.build.inner = hydra.compose("config", overrides=[f"method={method.build.inner}"]).method
            method = method.build.inner


def _take_side(cfg: DictConfig, overrides: list[str]) -> None:
    """The protocol's input gets the side that the model names (a number, or a callable that knows it), unless an
    override names another one."""
    if OmegaConf.is_missing(cfg.model, "arch"):
        raise ValueError("this model is any network of a library: name it, model.arch=NAME (resnet18, for example)")
    side = cfg.model.get("side")
    if side is None or any(each.lstrip("+").startswith("protocol.input.side=") for each in overrides):
        return
    cfg.protocol.input.side = side if isinstance(side, int) else instantiate(side)


def _missing(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if group == "hydra/launcher":
        return f"hydra/launcher={name} is launcher={name} here"
    known = [path.stem for path in (CONF / group).glob("*.yaml")] if group else []
    if not known:
        return str(error).strip()
    return f"there is no {group}={name}; near names: {near(name, known)}"


def _refused(overrides: list[str], error: ConfigCompositionException) -> str:
    """Hydra's reason, and for a setting that does not exist the names that are near."""
    reason = str(error.__cause__ or error).strip().splitlines()[0]
    full = re.search(r"full_key: (\S+)", f"{error} {error.__cause__}")
    for override in overrides:
        name = override.partition("=")[0]
        if name.startswith("hydra.launcher."):
            return f"{name} is {name.removeprefix('hydra.')} here, with launcher=slurm or launcher=local"
        if name.startswith("+") and "already at" in reason and name[1:] in reason:
            return f"{override}: the setting {name[1:]} exists; without the + it gets another value"
        if not name.startswith(("+", "~")) and full and f"{name}.".startswith(f"{full[1]}."):
            first, groups = name.partition(".")[0], [path.name for path in CONF.iterdir() if path.is_dir()]
            known = [*groups, *(str(key) for key in OmegaConf.load(CONF / "config.yaml"))]
            if first not in known:
                return f"there is no setting {name!r}; near names: {near(first, known)}"
            if like := difflib.get_close_matches(name, _names_in(first, overrides), 3, 0.8):
                more = f"; an argument of the code that it names: +{override}" if ".build." in name else ""
                return f"there is no setting {name!r}; near names: {', '.join(like)}{more}"
            if name.startswith("model."):
                ending = f".{name.removeprefix('model.')}"
                places = [each for each in _names_in("model", overrides) if each.endswith(ending)]
                places = places or [f"model.variants.KIND{ending}"]
                return (
                    f"there is no setting {name!r}: a model with a network for each kind of data has it there, "
                    f"{' or '.join(reversed(places))}"
                )
            if ".build." not in name and first in ("dataset", "method"):  # what lies beside `build` reaches no code
                override = override.replace(".", ".build.", 1)
            return f"there is no setting {name!r}; if the code that it names takes such an argument: +{override}"
    return reason


def _names_in(group: str, overrides: list[str]) -> list[str]:
    """The dotted names of the settings in the file that the overrides choose of a group."""
    defaults = OmegaConf.load(CONF / "config.yaml").defaults
    usual = next((str(each[group]) for each in defaults if OmegaConf.is_dict(each) and group in each), "")
    choice = next((text.partition("=")[2] for text in overrides if text.startswith(f"{group}=")), usual)
    file = CONF / group / f"{choice}.yaml"
    left = [(group, OmegaConf.to_container(OmegaConf.load(file)))] if file.is_file() else []
    found = []
    while left:
        name, settings = left.pop()
        if isinstance(settings, dict):
            left += [(f"{name}.{key!s}", value) for key, value in settings.items()]
        else:
            found.append(name)
    return found
