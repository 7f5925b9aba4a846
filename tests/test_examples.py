"""The examples of the README and of the how-tos do what they say, as they are printed."""

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from eval.files.places import ROOT
from eval.networks import imagenet
from eval.networks.class_map import outputs
from eval.running.build import build_dataset
from eval.running.config import load
from eval.running.settings import validate
from scripts.explain.__main__ import main as explain
from tests import pages
from tests.pages import blocks

NOTEBOOK, NETWORK = pages.read("docs/howto/notebook.md"), pages.read("docs/howto/network.md")


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in pages.lines(text) if line.startswith("python")]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """The current folder, with photo.jpg in it."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((320, 240)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_explain_a_picture(photo, monkeypatch, capsys):
    def untrained(url):
        arch = next(name for name in ("convnext_tiny", "resnet50") if name in url)
        torch.manual_seed(0)
        torch.save(models.get_model(arch, weights=None).state_dict(), photo / "weights.pth")
        return photo / "weights.pth"

    monkeypatch.setattr(imagenet, "fetch", untrained)
    (photo / "mynetwork.py").write_text(
        "from torchvision.models import resnet18\ndef build():\n    return resnet18(num_classes=3)\n"
    )
    (photo / "classes.txt").write_text("ant\nbee\ncat\n")
    monkeypatch.syspath_prepend(photo)
    lines = commands(pages.sections(pages.read("README.md"))["Explain a picture"])
    assert len(lines) == 3
    lines.append(shlex.split("python -m scripts.explain photo.jpg --model torchvision:convnext_tiny --method gradcam"))
    for python, flag, script, *arguments in lines:
        assert [python, flag, script] == ["python", "-m", "scripts.explain"]
        figure = photo / ("test-000003-explained.png" if "--scene" in arguments else "photo-explained.png")
        figure.unlink(missing_ok=True)
        assert explain(arguments) == 0, capsys.readouterr().err
        with Image.open(figure) as image:
            assert image.width > 300
    assert "crown: GPNN-CAM points at" in capsys.readouterr().out
    actual = json.loads((photo / "photo.json").read_text())
    assert [each["class"] for each in actual["classes"]] == ["tabby", "tiger cat"]
    assert {(each["method"], each["class"]) for each in actual["answers"]} == {
        (method, name) for method in ("GradCAM", "LayerCAM") for name in ("tabby", "tiger cat")
    }


def test_from_python_with_the_method_alone(photo):
    installed = photo / "installed"
    build = photo / "source"
    build.mkdir()
    for name in ("pyproject.toml", "README.md", "gpnncam"):  # a build writes beside its sources
        (build / name).symlink_to(ROOT / name)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", installed]
    subprocess.run([*pip, build], check=True, capture_output=True)
    code = blocks(NOTEBOOK, "python")[0]
    alone = "import importlib.util, gpnncam\nassert importlib.util.find_spec('eval') is None\nprint(gpnncam.__file__)\n"
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", alone + code], cwd=photo, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    where, said = done.stdout.strip().splitlines()
    assert where.startswith(str(installed))
    assert len(re.findall(r"\((\d+), (\d+)\)", said)) == 2
    with Image.open(photo / "answer.png") as image:
        assert image.size == (3 * 320 + 2 * 4, 240)


def test_a_callable_scored_in_five_lines(capsys):
    code = blocks(NOTEBOOK, "python")[2]
    assert len(code.strip().splitlines()) <= 5
    actual: dict = {}
    exec(code, actual)
    assert 0 <= float(capsys.readouterr().out) <= 1
    assert len(actual["rows"]) >= 5


def test_your_own_pictures_and_your_own_network(photo, monkeypatch):
    os.makedirs("photos/images")
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 320, "height": 240} for n in (1, 2)]
    objects = [
        {"id": n, "image_id": n, "category_id": n, "bbox": [10, 20, 100, 80], "area": 8000, "iscrowd": 0,
         "segmentation": [[10, 20, 110, 20, 110, 100, 10, 100]]}
        for n in (1, 2)
    ]  # fmt: skip
    for n in (1, 2):
        os.link("photo.jpg", f"photos/images/{n}.jpg")
    with open("photos/instances.json", "w") as stream:
        json.dump({"images": images, "annotations": objects, "categories": categories}, stream)
    (text,) = [text for text in blocks(NETWORK, "bash") if text.startswith("echo")]
    subprocess.run(["bash", "-ec", text.splitlines()[0]], check=True)
    lines = commands(f"```bash\n{text}```\n")
    assert len(lines) == 3
    for python, script, *settings in lines:
        assert [python, script] == ["python", "run.py"]
        cfg = load(settings)
        validate(cfg)
        dataset = build_dataset(cfg)
        assert dataset.classes == ("cat", "dog")
        assert len(dataset) == 2
        assert all(outputs(dataset.classes, cfg.model.class_map, cfg.model.get("classes", 1000)))
        if cfg.model.name != "resnet50":
            with torch.device("meta"):
                assert models.get_model(cfg.model.arch, num_classes=cfg.model.classes)
