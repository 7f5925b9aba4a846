"""A setting has one default: a file under conf/ and the callable that it names never disagree."""

import importlib
import inspect
import re

import pytest
import yaml

from eval.files.places import CONF, ROOT

# What makes one method of another's class: there the file decides.
OWN = {
    "eigengradcam": {"formula"}, "gradcam_elementwise": {"formula"}, "hirescam": {"formula"}, "layercam": {"formula"},
    "linear_approx": {"formula"}, "segeigencam": {"formula"}, "xgradcam": {"formula"}, "ensemble": {"flip"},
    "smoothgrad": {"n"}, "gpnncam_alone": {"source"}, "gpnncam_vote": {"source_vote"},
}  # fmt: skip


def defaults(target: str) -> dict:
    """{parameter: its default} of a callable, and of the constructor to which a class hands its own **options on."""
    module, _, name = target.rpartition(".")
    called = getattr(importlib.import_module(module), name)
    makers = (
        [each.__init__ for each in called.__mro__ if "__init__" in vars(each)] if inspect.isclass(called) else [called]
    )
    known: dict = {}
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        known = {each.name: each.default for each in parameters} | known
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return known


def targets(node):
    """Every mapping with a `_target_` of ours, at any depth."""
    if isinstance(node, dict):
        if re.match(r"(baselines|gpnncam|eval)\.", str(node.get("_target_"))):
            yield node
        for value in node.values():
            yield from targets(value)


FILES = [(group, path.stem) for group in ("method", "measure") for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "name"), FILES, ids=["-".join(each) for each in FILES])
def test_a_files_values_are_the_defaults(group, name):
    unlike = {}
    for node in targets(yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))):
        known = defaults(node["_target_"])
        for setting, value in node.items():
            if setting.startswith("_") or "_target_" in (value if isinstance(value, dict) else ()):
                continue
            if (group, setting) == ("measure", "input"):  # read by the suite: what the measure's network sees
                assert value is None
                continue
            default = known[setting]
            default = list(default) if isinstance(default, tuple) else default
            value = None if value == {} else value  # a place for further options of the command line
            if default is not inspect.Parameter.empty and value != default:
                unlike[setting] = (value, default)
    assert set(unlike) <= OWN.get(name, set()), unlike


def test_layers_are_named_under_conf_alone():
    named = re.compile(r"[\"'](layer[1-4]|features\.\d+|denseblock\d|blocks\.\d+)[\"'.]")
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("baselines", "gpnncam", "eval", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.parent.name not in ("networks", "peers")  # which build the layers of these names
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line) and not line.lstrip().startswith((">>>", "['"))  # an example and its answer
    ]
    assert lines == []
