"""Runs of the tests on changed modules: each in a fork of a process that has loaded the libraries once."""

import importlib.util
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from scripts.mutants.changes import Change, changes

REGRESSION = ["tests/test_regression.py", "tests/test_gpnncam_reference.py"]
TRUST = ["tests/test_trust.py"]
# The tests that concern a file, quick ones first: the first that fails ends the run.
TESTS = {
    "eval/game/pointing.py": ["tests/test_pointing.py", "tests/test_smoothing.py"],
    "eval/game/protocol.py": ["tests/test_protocol.py"],
    "eval/game/region.py": ["tests/test_region.py", "tests/test_pointing.py"],
    "eval/game/sample.py": ["tests/test_sample.py", "tests/test_calibration.py"],
    "eval/game/smoothing.py": ["tests/test_smoothing.py"],
    "eval/tables/statistics.py": ["tests/test_statistics.py"],
    "eval/tables/exchange.py": ["tests/test_statistics.py"],
    "eval/tables/resampling.py": ["tests/test_statistics.py"],
    "eval/tables/paired.py": ["tests/test_compare.py", "tests/test_overview.py"],
    "eval/tables/cells.py": ["tests/test_table.py", "tests/test_overview.py"],
    "eval/running/identity.py": ["tests/test_source_code.py", *TRUST],
    "eval/running/source_code.py": ["tests/test_source_code.py", *TRUST],
    "eval/running/plan.py": ["tests/test_plan.py", "tests/test_runner.py", *TRUST],
    "eval/records/schema.py": ["tests/test_schema.py", *TRUST],
    "gpnncam/solve.py": REGRESSION[::-1],
    "gpnncam/vote.py": ["tests/test_gpnncam_sources.py", "tests/test_gpnncam_reference.py"],
    "gpnncam/regression.py": REGRESSION,
}
LIBRARIES = (
    "torch", "torchvision", "numpy", "scipy.stats", "scipy.sparse", "scipy.ndimage", "pandas", "matplotlib.figure",
    "hydra", "omegaconf", "sklearn.linear_model", "pycocotools.mask", "hypothesis", "pyarrow.parquet", "PIL.Image",
    "cv2", "numba", "_pytest.assertion.rewrite",
)  # fmt: skip
SLOWEST = 5  # times as long as without a change, and 20 s: such a change is taken as killed


def sample(root: Path, files: list[str], count: int, seed: int) -> list[tuple[str, Change]]:
    """`count` changes of the files, about equally many of each."""
    draw = random.Random(seed)
    pools = {name: list(changes((root / name).read_text(encoding="utf-8"))) for name in files}
    for pool in pools.values():
        draw.shuffle(pool)
    chosen = [(turn, name) for name, pool in pools.items() for turn in range(len(pool))]
    chosen.sort(key=lambda each: each[0])
    return sorted(((name, pools[name][turn]) for turn, name in chosen[:count]), key=lambda each: files.index(each[0]))


def tried(root: Path, chosen: list[tuple[str, Change]]) -> Iterator[tuple[str, Change, bool]]:
    """(file, change, whether a test fails) of each; RuntimeError where the tests fail without any change."""
    for library in LIBRARIES:
        importlib.import_module(library)
    limits: dict[str, float] = {}
    for name, change in chosen:
        if name not in limits:
            started = time.monotonic()
            if not _passes(root, name, None, 600):
                raise RuntimeError(f"without any change {' '.join(TESTS[name])} fail")
            limits[name] = 20 + SLOWEST * (time.monotonic() - started)
        yield name, change, not _passes(root, name, change, limits[name])


def _passes(root: Path, name: str, change: Change | None, seconds: float) -> bool:
    """Whether the tests of a file pass in time, with the change in place of its module."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.setsid()  # what the tests start ends with them
        os._exit(_run(root, name, change))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run(root: Path, name: str, change: Change | None) -> int:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        import pytest

        os.chdir(root)
        if change is not None:
            sys.meta_path.insert(0, Finder(root / name, name.removesuffix(".py").replace("/", "."), change))
        for known in [each for each in sys.modules if each.partition(".")[0] in ("eval", "gpnncam", "baselines")]:
            del sys.modules[known]  # this script's own imports: the changed module must be met anew
        with tempfile.TemporaryDirectory() as folder:
            more = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tests"]
            return int(pytest.main([*more, *(each for each in TESTS[name] if (root / each).exists())]))
    except BaseException:
        return 1


class Finder:
    """Finds one module, whose code is the change's."""

    def __init__(self, path: Path, module: str, change: Change):
        self.path = path
        self.module = module
        self.change = change

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """As the import system asks every finder."""
        if name != self.module:
            return None
        loader = Changed(name, str(self.path))
        loader.change = self.change
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class Changed(SourceFileLoader):
    """Loads a module from a syntax tree instead of its file, which stays as it is."""

    change: Change

    def get_code(self, fullname: str) -> CodeType:
        """Of the changed tree."""
        return compile(self.change.tree(), self.path, "exec")
