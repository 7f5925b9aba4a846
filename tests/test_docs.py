"""Pages for readers: commands are understood, links lead somewhere, tables have a row for everything."""

import argparse
import ast
import importlib
import re
import shlex
import sys
import tomllib
from importlib.util import find_spec

import pytest
import yaml

from eval.files.places import CONF, ROOT
from eval.records.schema import columns
from eval.running.config import load
from eval.running.job import evaluate_job
from scripts.compare import main as compare
from scripts.layers import main as layers
from scripts.table import main as table
from tests.pages import blocks, lines, pages, read, words

PAGES = {str(path.relative_to(ROOT)): path for path in pages()}
PLACES = {"DIR": ".", "RUN": "RUN", "NAME": "NAME", "FILE": "FILE"}
MOST = {"README.md": 700, "CONTRIBUTING.md": 800} | {name: 500 for name in PAGES if name.endswith("/README.md")}


def parsed(words: list[str]) -> argparse.Namespace:
    """The arguments of `python -m scripts.NAME ...`; SystemExit where its parser refuses them."""
    name, *given = words
    where = ROOT / name.replace(".", "/")
    if where.is_dir() and given and (where / f"{given[0]}.py").is_file():
        name, given = f"{name}.{given[0]}", given[1:]
    elif where.is_dir():
        name += ".__main__"
    module, parser = importlib.import_module(name), argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_intermixed_args(given)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    for line in lines(PAGES[page].read_text(encoding="utf-8")):
        for part in re.split(r" && |; do |^for .* in .*; do$", line):
            command = shlex.split(part, comments=True)
            while command and re.fullmatch(r"[A-Z_]+=\S*", command[0]):
                command = command[1:]
            if ">" in command:
                command = command[: command.index(">")]
            match command:
                case ["python", "run.py", *settings]:
                    given = [re.sub(r"=DIR$", "=.", each).replace("$method", "center") for each in settings]
                    dashed = [each for each in given if each.startswith("-") and each != "--help"]
                    assert set(dashed) <= {"-m"}, line
                    # Of a sweep its first job: tests/test_configs.py expands the experiments.
                    sweep = "-m" in given or any(each.startswith("experiment=") for each in given)
                    first = [re.sub(r"(=[^\[,]+),.*", r"\1", each) if sweep else each for each in given]
                    if "--help" not in given:
                        load([each for each in first if each != "-m"])
                case ["python", "-m", script, *_] if script.startswith("scripts."):
                    parsed(command[2:])
                case ["pip" | ".venv/bin/pip", "install", "-e", what, *_]:
                    assert set(re.findall(r"\w+", what.partition("[")[2])) <= set(extras), line
                case [] | ["done" | "echo" | "export" | "for" | "git" | "cp", *_] | ["python3", "-m", "venv", ".venv"]:
                    pass
                case [python, *rest] if python in ("python", ".venv/bin/python"):
                    assert rest[:2] in (["-m", "pytest"], ["-m", "mkdocs"], ["run.py"]), line
                case [tool, *_]:
                    assert tool.rpartition("/")[2] in ("ruff", "mypy", "mkdocs", "pytest"), line


@pytest.mark.parametrize("page", PAGES)
def test_python_is_python(page):
    for code in blocks(PAGES[page].read_text(encoding="utf-8"), "python"):
        ast.parse(code)
        for module, names in re.findall(r"^from ((?:gpnncam|eval|baselines|scripts)[\w.]*) import (.*)$", code, re.M):
            for name in names.split(", "):
                known = hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}")
                assert known, f"{module} has no {name}"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the first Python block of a page as a module that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(page: str, name: str) -> None:
        (tmp_path / f"{name}.py").write_text(blocks(read(page), "python")[0], encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return written


def test_the_measure_of_the_how_to_runs(module, tmp_path, capsys):
    module("docs/howto/measure.md", "mymeasure")
    measure = ["measure=custom", "measure.custom._target_=mymeasure.Brightness"]
    data = ["dataset=demo", "dataset.build.count=2", "device=cpu", "workers=0", f"results={tmp_path}"]
    for method in ("gradcam", "center_map"):
        assert not evaluate_job(load([f"method={method}", *measure, *data, "compare=false"])).failed
    for script, given in ((table, ()), (compare, ("gradcam", "center_map"))):
        assert script([*given, "--measure", "brightness", "--records", str(tmp_path / "records")]) == 0
    assert "mean of the picture where the map is highest" in capsys.readouterr().out


def test_the_network_of_the_how_to_has_layers(module, capsys):
    module("docs/howto/network.md", "mynetwork")
    (line,) = [line for line in lines(read("docs/howto/network.md")) if "scripts.layers" in line]
    assert layers(shlex.split(line)[3:]) == 0
    assert "layer4" in capsys.readouterr().out


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page].read_text(encoding="utf-8")):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            place = (PAGES[page].parent / name).resolve() if name else PAGES[page]
            assert place.exists(), f"{page} links to {target}"
            if anchor:
                assert anchor in anchors(place.read_text(encoding="utf-8")), f"{page} links to {target}"


@pytest.mark.parametrize("page", MOST)
def test_a_page_is_short(page):
    assert words(read(page)) <= MOST[page]


def first_cells(page: str) -> list[str]:
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", read(page), re.MULTILINE)
    return re.findall(r"`(\w+)`", " ".join(cells))


METHODS = [path.stem for path in sorted((CONF / "method").glob("*.yaml"))]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_one_row(name):
    rows = first_cells("docs/methods.md")
    assert rows.count(name) == 1, f"docs/methods.md needs one row that begins with `{name}`"
    assert set(rows) <= set(METHODS)


def test_every_measure_has_one_row():
    rows = set(first_cells("docs/measures.md"))
    assert {path.stem for path in (CONF / "measure").glob("*.yaml")} - {"custom"} <= rows


BUILT = [(group, path.stem) for group in ("method", "measure") for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "name"), BUILT)
def test_the_class_that_a_choice_builds_is_on_its_page(group, name):
    room = {"method": "baselines", "measure": "eval/measures"}[group]
    text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
    target = re.search(rf"_target_: {room.replace('/', '.')}\.(\w+)\.(\w+)", text)
    if target:
        page = read(f"{room}/README.md")
        assert [each for each in (f"`{target[2]}`", f"`{target[1]}.py`") if each not in page] == []


PAGE_OF = {"model": "eval/networks/README.md", "dataset": "eval/datasets/README.md", "protocol": "docs/protocols.md"}


@pytest.mark.parametrize("group", PAGE_OF)
def test_every_choice_is_on_its_page(group):
    page = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", read(PAGE_OF[group])))))
    assert {path.stem for path in (CONF / group).glob("*.yaml")} - page == set()


def test_the_page_of_columns_lists_the_columns():
    assert columns() in read("docs/columns.md"), f"docs/columns.md must hold this table:\n{columns()}"


FAMILIES = {
    "VGG": ("vgg16", "vgg16_bn"),
    "ResNet, DenseNet": ("resnet18", "resnet50", "densenet121"),
    "Inception": ("inception_v3",),
    "MobileNet, EfficientNet": ("efficientnet_b0", "mobilenet_v3_large"),
    "EfficientNet-Lite": ("efficientnet_lite0",),
    "ConvNeXt": ("convnext_tiny",),
    "Swin, MaxViT": ("swin_t", "swin_tiny (timm)", "maxvit_t"),
    "ViT, DeiT, DINOv2, CLIP": ("vit_b_16", "deit_small", "dinov2_small", "clip_ViT-B-32"),
}


def support() -> str:
    """The table of docs/support.md, from the one that scripts.maintain.compatibility wrote."""
    grid = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in read("results/tables/networks.md")
            .splitlines() if line.startswith("|")]  # fmt: skip
    head, rows = grid[0], grid[2:]
    assert {name for family in FAMILIES.values() for name in family} == set(head[1:])
    out = [["method", *FAMILIES], ["---"] * (len(FAMILIES) + 1)]
    for method, *cells in rows:
        runs = dict(zip(head[1:], (cell.startswith("runs") for cell in cells), strict=True))
        shares = [[runs[name] for name in family] for family in FAMILIES.values()]
        out.append([f"`{method}`", *("yes" if all(each) else "some" if any(each) else "no" for each in shares)])
    return "\n".join("| " + " | ".join(line) + " |" for line in out)


def test_the_page_of_support_is_the_table_of_networks():
    assert support() in read("docs/support.md"), f"docs/support.md must hold this table:\n{support()}"


def test_the_page_of_methods_agrees_with_the_table_of_networks():
    claimed = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", read("docs/methods.md"), re.MULTILINE))
    for line in support().splitlines()[2:]:
        method, *cells = line.strip("| ").split(" | ")
        assert (claimed.get(method.strip("`"), "all") in ("all", "none")) == (set(cells) == {"yes"}), method


@pytest.mark.parametrize("path", sorted((CONF / "method").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_formula_of_every_method_has_a_test(path):
    """CONTRIBUTING's fourth step: a file of tests for methods names the class."""
    target = re.search(r"_target_: (?:baselines(?!\.controls)|gpnncam)\.\w+\.(\w+)", path.read_text(encoding="utf-8"))
    if target:
        files = [*ROOT.glob("tests/test_baselines_*.py"), *ROOT.glob("tests/test_[agm]*.py")]
        texts = [file.read_text(encoding="utf-8") for file in files if file.name != "test_golden.py"]
        assert any(re.search(rf"\b{target[1]}\b", text) for text in texts), f"no test names {target[1]}"


def test_the_citation_is_yaml():
    yaml.safe_load(read("CITATION.cff"))
