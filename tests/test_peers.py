"""Statements about other programs: those whose programs the suite needs anyway, and what the script says of each."""

import re
from pathlib import Path

import numpy as np
import pytest

from scripts.peers import __main__ as peers
from scripts.peers import measures
from scripts.peers.scene import Row

CHEAP = ["gradcampp", "refinecam", "eigencam", "fill", "complexity", "Holm", "McNemar", "exchange"]


def test_statements_about_installed_programs_hold(capsys):
    names = ["grad-cam", "scipy", "statsmodels"]
    assert peers.main(["--peer", *names, "--only", *CHEAP, "--repeat", "1"]) == 0, capsys.readouterr().err
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert {row[0].split()[1] for row in table[1:]} == set(names)
    assert sum(" ≤ " in f" {row[4]} " for row in table) == 9
    assert sum(" ≥ " in f" {row[4]} " for row in table) == 3


def test_a_statement_that_does_not_hold_is_said_and_is_the_status(capsys, monkeypatch):
    monkeypatch.setattr(measures, "holm", lambda values: np.minimum(1, 30 * values))
    assert peers.main(["--peer", "statsmodels", "--only", "Holm's correction", "--repeat", "1"]) == 1
    assert "does not hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("theirs", "within", "holds"),
    [([2.0, 4.0], 0.3, True), ([2.0, 4.0], 0.2, False), ([2.0, 4.0], -0.2, True), ([2.0, 4.0], -0.3, False)],
)
def test_a_difference_is_a_share_of_their_largest_value(theirs, within, holds):
    cells, actual = peers.beside(Row("x", lambda: [2.0, 3.0], lambda: theirs, within), repeat=2)
    assert actual is holds
    assert cells[:2] == ["1e+00", "2e-01"]
    assert (cells[2].startswith("≤")) is (within > 0)


def test_a_difference_that_is_no_number_does_not_hold():
    for within in (0.1, -0.1):
        assert not peers.beside(Row("x", lambda: [np.nan], lambda: [1.0], within), repeat=1)[1]
    with pytest.raises(ValueError, match="shape"):
        peers.beside(Row("x", lambda: [1.0, 2.0], lambda: [1.0], 0.1), repeat=1)


def test_a_program_that_is_not_installed_is_named_with_its_version(capsys, monkeypatch):
    monkeypatch.setattr(peers, "PEERS", {"no-such-program": "1.2"})
    assert peers.main(["--peer", "no-such-program"]) == 0
    assert "no-such-program is not installed: `pip install no-such-program==1.2`" in capsys.readouterr().out


def test_the_committed_table_is_of_the_versions_that_the_script_names():
    text = (Path(__file__).parents[1] / "results" / "tables" / "peers.md").read_text("utf-8")
    assert "not hold" not in text
    assert "not installed" not in text
    for name, version in peers.PEERS.items():
        assert re.search(rf"^\| {name} {re.escape(version)} +\|", text, re.MULTILINE)
