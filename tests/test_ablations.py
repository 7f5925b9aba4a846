"""The ablations as experiments: each composes, builds, and has the variant that the others are compared with."""

import subprocess
import sys

import pytest

from eval.files.places import ROOT
from eval.running.build import build_method
from eval.running.config import load
from eval.running.settings import plain, protocol_of
from gpnncam.cam import GPNNCAM
from tests.small_network import classifier
from tests.sweeps import load_sweep

ABLATIONS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("ablation_*.yaml"))


OF_SETTINGS = ("count", "layers", "phase1", "sigma", "sources")
OF_INPUTS = {"ensemble": 4, "input": 24, "layers_input": 12}  # how many jobs


def test_all_are_there():
    assert sorted(f"ablation_{name}" for name in (*OF_SETTINGS, *OF_INPUTS)) == ABLATIONS


@pytest.mark.parametrize(("name", "count"), OF_INPUTS.items())
def test_variants_of_the_input_and_of_ensembles_build_under_labels_of_their_own(name, count):
    jobs = [cfg for _, cfg in load_sweep(f"experiment=ablation_{name}")]
    assert len(jobs) == count
    assert {cfg.results for cfg in jobs} == {f"results/ablation_{name}"}
    model = classifier()
    model.layers["cam"] = ["2"]
    for cfg in jobs:
        build_method(cfg.method, model, ())
    labels = {protocol_of(cfg).label for cfg in jobs}
    inputs = {tuple(plain(cfg.protocol.input).items()) for cfg in jobs}
    assert len(labels) == len(inputs) == {"ensemble": 1, "input": 12, "layers_input": 4}[name]
    assert "paper" in labels, "the usual input is one of them"


@pytest.mark.parametrize("name", [f"ablation_{name}" for name in OF_SETTINGS])
def test_variants_build_and_the_reference_is_the_default(name):
    jobs = load_sweep(f"experiment={name}")
    default = load(["method=gpnncam"]).method.build
    swept = ("n", "depth", "phase1", "sigma", "noise", "source")
    actual = []
    for _, cfg in jobs:
        assert isinstance(build_method(cfg.method, classifier(), ()), GPNNCAM)
        assert cfg.results == f"results/{name}"
        changed = {key for _, other in jobs for key in swept if other.method.build[key] != cfg.method.build[key]}
        changes = ", ".join(f"{key}={cfg.method.build[key]}" for key in sorted(changed))
        if f"gpnncam [{changes}]" == cfg.against:
            actual.append(cfg)
    assert len(actual) == 1, "none or several variants bear the name of `against`"
    # All three layers are what depth: null means.
    differs = {key for key in default if default[key] != actual[0].method.build[key]}
    assert differs <= {"depth"}


def test_a_sweep_ends_in_comparisons_with_its_reference(tmp_path):
    settings = ["method=center,random", "+against=center", "dataset=demo", "limit=12", f"results={tmp_path}"]
    command = [sys.executable, "run.py", "-m", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    ending = done.stdout.partition("difference")[2]
    assert "Random" in ending
    assert "Holm: corrected for 2 comparisons" in ending
