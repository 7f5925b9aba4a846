"""The cache of variations: same numbers, damaged entries made again, limits kept, processes side by side."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gpnncam import variations
from gpnncam.cache import Cache
from gpnncam.levels import Settings

ROOT = Path(__file__).parent.parent


def picture():
    y, x = torch.meshgrid(torch.linspace(0, 6, 40), torch.linspace(0, 5, 45), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(x * y + i) for i in range(3)])


def same(a, b):
    return torch.equal(a.pixels, b.pixels) and torch.equal(a.fields, b.fields)


def entries(folder):
    return sorted(folder.rglob("*.gpnn"))


def test_cache_changes_no_number_and_is_used(tmp_path, monkeypatch):
    from gpnncam import compiled

    image, plain = picture(), variations(picture(), 3, 0)
    assert same(variations(image, 3, 0, cache=tmp_path), plain)
    assert len(entries(tmp_path)) == 3
    assert Cache(tmp_path).size() == sum(path.stat().st_size for path in entries(tmp_path))
    monkeypatch.setattr(compiled, "vary", lambda *a: pytest.fail("made again although it was kept"))
    assert same(variations(image, 3, 0, cache=tmp_path), plain)
    assert torch.equal(
        variations(image, seeds=plain.seeds[:0:-1], cache=str(tmp_path)).pixels, plain.pixels[1:].flip(0)
    )


def test_a_full_disk_ends_the_cache_and_no_variation(tmp_path, monkeypatch):
    plain = variations(picture(), 3, 0)

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.warns(RuntimeWarning, match="keeps nothing more: .*No space left") as said:
            assert same(variations(picture(), 3, 0, cache=tmp_path), plain)
    assert len(said) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("")
    blocked = Cache(tmp_path)
    key = blocked.key(np.zeros((20, 20, 3), np.uint8), Settings(), "cpu")
    (tmp_path / key[:2]).write_text("a file where a folder belongs")
    with pytest.warns(RuntimeWarning, match="keeps nothing more"):
        blocked.put(key, 1, np.zeros((14, 14, 2), np.int32))
    assert blocked.get(key, 1, (20, 20, 3)) is None


@pytest.mark.parametrize("change", [{"sigma": 1.0}, {"noise": "grey"}, {"alpha": 0.01}, {"iterations": (1, 5, 3)}])
def test_other_settings_and_pictures_are_other_entries(tmp_path, change):
    variations(picture(), seeds=[1], cache=tmp_path)
    assert same(variations(picture(), seeds=[1], cache=tmp_path, **change), variations(picture(), seeds=[1], **change))
    variations(picture().flip(1), seeds=[1], cache=tmp_path)
    assert len(entries(tmp_path)) == 3


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_damaged_entries_are_made_again(tmp_path, damage):
    plain = variations(picture(), seeds=[1, 2], cache=tmp_path)
    whole = [path.read_bytes() for path in entries(tmp_path)]
    path = entries(tmp_path)[0]
    path.write_bytes(damage(path.read_bytes()))
    assert same(variations(picture(), seeds=[1, 2], cache=tmp_path), plain)
    assert [path.read_bytes() for path in entries(tmp_path)] == whole


@pytest.mark.parametrize("off", [None, False, "off"])
def test_cache_can_be_refused(tmp_path, monkeypatch, off):
    monkeypatch.chdir(tmp_path)
    variations(picture(), seeds=[1], cache=off)
    assert list(tmp_path.iterdir()) == []


def test_limit(tmp_path):
    variations(picture(), seeds=[1], cache=Cache(tmp_path / "one"))
    size = Cache(tmp_path / "one").size()
    limited = Cache(tmp_path / "two", limit=2 * size + size // 2)
    variations(picture(), seeds=list(range(6)), cache=limited)
    assert 0 < limited.size() <= limited.limit


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file"):
        variations(picture(), seeds=[1], cache=tmp_path / "file" / "cache")


def test_several_processes_share_a_folder(tmp_path):
    code = (
        "import sys, hashlib; sys.path.insert(0, 'tests')\n"
        "from test_gpnn_cache import picture\nfrom gpnncam import variations\n"
        f"r = variations(picture(), 4, 0, cache={str(tmp_path)!r})\n"
        "print(hashlib.sha256(r.pixels.numpy().tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert len(set(outputs)) == 1
    assert len(entries(tmp_path)) == 4
    assert not list(tmp_path.rglob("*.part"))
