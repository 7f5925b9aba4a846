"""The user's own code as part of a run's identity: changed code makes another run."""

import ast
import functools
import hashlib
import importlib
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Set
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

OURS = ("baselines", "eval", "gpnncam")
# Packages, by the name that code imports, whose versions decide maps or networks of whoever uses them.
LIBRARIES = {
    "captum": "captum",
    "open_clip": "open_clip_torch",
    "pytorch_grad_cam": "grad-cam",
    "timm": "timm",
    "torchvision": "torchvision",
    "zennit": "zennit",
}
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
# torch's and other installed packages lie here, and Python's own modules.
INSTALLED = [Path(path).resolve() for name, path in sysconfig.get_paths().items() if name.endswith(("lib", "stdlib"))]


def code_of(settings: Any) -> tuple[dict[str, str], list[str]]:
    """({module or package: digest or version}, notes) of all code that the settings of a `build` name.

    Names are every `_target_`, and every text at any depth that reads package.attribute and names code of the user's
    own. A module of the user's own (neither installed nor of this suite) is held by the source of its file and of
    the user's own modules that it imports, wherever in the file, beside the versions of what they import of this suite
    and of LIBRARIES; an installed package by its version; a callable of this suite by its attribute `version`.
    notes: what cannot be known, in a sentence each.
    """
    digests: dict[str, str] = {}
    notes: list[str] = []
    for name in sorted(set(_names(settings))):
        module = _module_of(name)
        if module is None:
            continue
        if module.partition(".")[0] in OURS:
            if (version_ := _version(name)) is not None:
                digests[name] = version_
            continue
        kind = _origin(module)
        if kind == "user":
            own, unread, others = _sources(module)
            digests |= own | _versions(others)
            notes += [f"the code of {each} cannot be read, so a change of it is not seen" for each in unread]
        elif kind == "installed":
            package = module.partition(".")[0]
            digests[package] = _installed_version(package)
    return digests, notes


def _versions(imported: Set[str]) -> dict[str, str]:
    """The versions of names that a user's modules import: callables of this suite, and LIBRARIES.

    A module of this suite that is imported whole (MODULE.*) stands for all callables in its namespace.
    """
    held: dict[str, str] = {}
    names = {name for name in imported if not name.endswith(".*")}
    for whole in imported - names:
        if whole.partition(".")[0] in OURS and _module_of(module := whole[:-2]) == module:
            loaded = importlib.import_module(module)
            inside = getattr(loaded, "__all__", vars(loaded))
            names |= {f"{module}.{name}" for name in inside if callable(getattr(loaded, name))}
    for name in sorted(names):
        package = name.partition(".")[0]
        if package in OURS and (version_ := _version(name)) is not None:
            held |= {name: version_} | libraries_of({"_target_": name})
        elif package in LIBRARIES:
            held |= _library(LIBRARIES[package])
    return held


def libraries_of(build: Any) -> dict[str, str]:
    """{package: version} of the libraries that compute what the `_target_`s of a `build` return, at any depth.

    A callable of this suite names them in its attribute `libraries`, or in that of its module: a tuple of packages, or
    a function of the settings that returns one.
    """
    if isinstance(build, list):
        return {name: each for part in build for name, each in libraries_of(part).items()}
    if not isinstance(build, dict):
        return {}
    held = {name: each for part in build.values() for name, each in libraries_of(part).items()}
    if (target := str(build.get("_target_"))).partition(".")[0] in OURS:
        named = attribute_of(target, "libraries") or attribute_of(target.rpartition(".")[0], "libraries") or ()
        if callable(named):
            named = named(**{name: value for name, value in build.items() if name.strip("_") == name})
        for name in named:
            held |= _library(name)
    return held


@functools.cache
def _installed(name: str) -> str:
    return version(name)


def _library(name: str) -> dict[str, str]:
    try:
        return {name: _installed(name)}
    except PackageNotFoundError:  # then nothing can have come from it
        return {}


def attribute_of(target: str, name: str) -> Any:
    """An attribute of the callable or module of a dotted name; None where either does not exist."""
    module = _module_of(target)
    if module is None:
        return None
    call: Any = importlib.import_module(module)
    for part in target.removeprefix(module).split(".")[1:]:
        call = getattr(call, part, None)
    return getattr(call, name, None)


def names_code(text: str) -> bool:
    """Whether a text is the dotted name of a function, class or module that is loaded, or torch's word for a function
    (relu, mean): what somebody calls a file does not make such a setting a file."""
    module = _module_of(text) if DOTTED.fullmatch(text) else None
    if module is None:
        return any(callable(getattr(place, text, None)) for place in (torch, torch.nn.functional))
    call: Any = sys.modules.get(module)
    for part in text.removeprefix(module).split(".")[1:]:
        call = getattr(call, part, None)
    return call is not None


def version_of(call: Any) -> str | None:
    """The attribute `version` of a class, function or partial of this suite; None for other code."""
    value = getattr(getattr(call, "func", call), "version", None)
    return None if value is None or callable(value) else str(value)


def _version(target: str) -> str | None:
    """The attribute `version` of a class or function of this suite, which a golden test holds; None without one."""
    value = attribute_of(target, "version")
    return None if value is None or callable(value) else f"version {value}"


def _names(settings: Any) -> list[str]:
    if isinstance(settings, dict):
        return [name for value in settings.values() for name in _names(value)]
    if isinstance(settings, list):
        return [name for value in settings for name in _names(value)]
    return [settings] if isinstance(settings, str) and DOTTED.fullmatch(settings) else []


def _module_of(name: str) -> str | None:
    """The longest beginning of a dotted name that is a module; None where its first part is none."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        candidate = ".".join(parts[:count])
        if candidate in sys.modules or _spec(candidate) is not None:
            return candidate
    return None


def _spec(module: str) -> Any:
    """The module's spec, without an import of its parents: a setting like `layer4.1` must import nothing."""
    parent = module.rpartition(".")[0]
    try:
        if not parent or parent in sys.modules:
            return importlib.util.find_spec(module)
        places = getattr(_spec(parent), "submodule_search_locations", None)
        return PathFinder.find_spec(module, list(places)) if places else None
    except (ImportError, ValueError, AttributeError):
        return None


def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    name = getattr(loaded, "__file__", None) or getattr(_spec(module), "origin", None)
    return Path(name).resolve() if name and name not in ("built-in", "frozen") else None


def _origin(module: str) -> str:
    """ "user", "installed" or "python"."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return "python"
    path = _file(module)
    if path is None:
        return "user"
    if any(path.is_relative_to(folder) for folder in INSTALLED) or {"site-packages", "dist-packages"} & {*path.parts}:
        return "installed"
    return "user"


def _installed_version(package: str) -> str:
    names = packages_distributions().get(package, [])
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(names))) or "unknown"


# Read once in a process, like the module itself: a file that is edited under a running sweep changes neither.
@functools.cache
def _sources(module: str) -> tuple[dict[str, str], tuple[str, ...], frozenset[str]]:
    """({module: digest of its source}, modules without a source, other names that they import) of a module and of the
    user's modules it imports."""
    digests: dict[str, str] = {}
    unread: list[str] = []
    others: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in digests or name in unread or name == "__main__":
            continue
        path = _file(name)
        if path is None or path.suffix != ".py" or not path.is_file():
            unread += [] if _is_namespace(name) else [name]
            continue
        text = path.read_bytes()
        digests[name] = hashlib.sha256(text).hexdigest()[:16]
        imported = set(_imported(text, name, path))
        waiting += (own := [each for each in imported if _is_user(each)])
        others |= imported - {*own}
    return digests, tuple(unread), frozenset(others)


def _is_namespace(module: str) -> bool:
    return isinstance(loaded := sys.modules.get(module), ModuleType) and hasattr(loaded, "__path__")


def _is_user(module: str) -> bool:
    known = module in sys.modules or _spec(module) is not None
    return known and module.partition(".")[0] not in (*OURS, "scripts", "run", "tests") and _origin(module) == "user"


def _imported(text: bytes, module: str, path: Path) -> list[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [f"{alias.name}.*" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}.*" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and DOTTED.fullmatch(name := ast.unparse(node)):
            names += [name] if name.partition(".")[0] in OURS else []  # `import baselines`, then baselines.cam.CAM
    # A package's __init__ runs before its module does.
    return [".".join(name.split(".")[:count]) for name in names if name for count in range(1, name.count(".") + 2)]
