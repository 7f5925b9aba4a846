"""Numbers that change without their version, and versions that change without new numbers, fail with what to do."""

import json

import pytest
import torch

from baselines import cam
from tests import golden
from tests.golden import verdict, written

KEPT = json.loads(golden.FILE.read_text())
MAKERS = dict(golden.entries(golden.FILE.parent / "nowhere"))


def made(name: str, folder) -> dict:
    return dict(golden.entries(folder))[name]()


def test_everything_has_golden_numbers_and_nothing_else_has():
    assert list(KEPT) == list(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_numbers_are_those_of_their_version(name, tmp_path):
    ours = made(name, tmp_path)
    assert ours["versions"], f"{name} has no version: give its class the attribute `version`"
    said = verdict(name, ours, KEPT.get(name))
    assert said is None, said
    # A constant map agrees with any other: it would prove nothing.
    assert all(each["span"] > 0 and len(set(each["values"])) > 1 for each in ours["numbers"])


NAME = "method gradcam"


def test_changed_numbers_at_an_equal_version_fail_with_what_to_do(tmp_path, monkeypatch):
    whole = cam.CAM.__call__
    monkeypatch.setattr(cam.CAM, "__call__", lambda *given: whole(*given).flip(-1))
    said = verdict(NAME, ours := made(NAME, tmp_path), KEPT[NAME])
    assert "have changed, and its version has not ({'baselines.cam.CAM': 'version 1'})" in said
    assert "raise that version (or undo the change), then python -m tests.golden" in said
    assert written(KEPT, {NAME: ours}) == ({NAME: KEPT[NAME]}, [said]), "nothing is written over such a change"


@pytest.mark.parametrize("change", [1.0, 1.005], ids=["same numbers", "other numbers"])
def test_a_raised_version_needs_new_numbers(tmp_path, monkeypatch, change):
    whole = cam.CAM.__call__
    monkeypatch.setattr(cam.CAM, "__call__", lambda *given: change * whole(*given))
    monkeypatch.setattr(cam.CAM, "version", 2)
    said = verdict(NAME, ours := made(NAME, tmp_path), KEPT[NAME])
    assert "is of {'baselines.cam.CAM': 'version 2'} now" in said
    assert said.endswith("python -m tests.golden")
    assert written(KEPT, {NAME: ours}) == ({NAME: ours}, [])


def test_the_generator_has_a_version_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "variations", lambda image, *_, **__: type("V", (), {"pixels": image[None].flip(-1)}))
    said = verdict("generator", made("generator", tmp_path), KEPT["generator"])
    assert "its version has not ({'gpnncam': 'generator " in said
    assert "generator" in KEPT["method gpnncam"]["versions"]["gpnncam.cam.GPNNCAM"]


def test_other_settings_and_missing_numbers_are_named():
    assert "the settings of x have changed" in verdict("x", KEPT[NAME] | {"settings": "0" * 8}, KEPT[NAME])
    assert verdict("x", KEPT[NAME], None) == "x has no golden numbers: python -m tests.golden"


def test_rounding_passes_and_what_moves_a_map_does_not():
    torch.manual_seed(0)
    array = torch.rand(2, 20, 30)

    def differ(other: torch.Tensor) -> bool:
        return golden.numbers_differ([golden.coarse(each) for each in other], [golden.coarse(each) for each in array])

    assert not differ(array * (1 + 1e-4))
    assert not differ(array + 5e-4)
    assert differ(array * 1.002)
    assert differ(array + 2e-3)
    assert differ(array.roll(1, -1))
    assert differ(array.double() ** 1.02)
    assert differ(array[:, :-1])
