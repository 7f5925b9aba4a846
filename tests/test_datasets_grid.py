"""The grid pointing game: mosaics hold the pictures that their list names, and a uniform map scores exactly 1 / n^2."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from eval.datasets.demo import Demo
from eval.datasets.grid import Grid
from eval.files.places import ROOT
from eval.game.sample import pairs
from eval.running.config import load
from eval.running.job import evaluate_job
from scripts.maintain.make_grid import candidates, draw
from scripts.table import main as table


def uniform(image, targets, classifier):
    return torch.full((len(targets), 7, 7), 0.3)


@pytest.fixture(scope="module")
def demo():
    """The built-in pictures, each laid out once."""

    class Kept(list):
        classes = Demo().classes

    return Kept(Demo())


@pytest.mark.parametrize(("name", "n"), [("demo_2x2.json", 2), ("demo_3x3.json", 3)])
def test_the_committed_lists_show_what_they_say(name, n, demo):
    grid = Grid(f"eval/datasets/grids/{name}", demo)
    samples = {sample.key: sample for sample in demo}
    content = json.loads((ROOT / "eval/datasets/grids" / name).read_text())
    assert len(grid) == len(content["mosaics"])
    assert len({json.dumps(sorted(cells)) for cells in content["mosaics"]}) == len(grid), "no mosaic is there twice"
    for index in range(0, len(grid), 7):
        sample = grid[index]
        assert len(list(pairs(sample))) == n * n
        for number, (key, label) in enumerate(content["mosaics"][index]):
            shown = {demo.classes[each] for each in samples[key].labels}
            assert shown == {label}, "a picture of one class, so that no other cell shows it"
            row, column = divmod(number, n)
            boxes = sample.region(demo.classes.index(label)).boxes.tolist()
            assert boxes == [[column * 224, row * 224, (column + 1) * 224, (row + 1) * 224]]
    picture, key = np.asarray(grid[3].image), content["mosaics"][3][1][0]
    assert (picture[:224, 224:448] == np.asarray(samples[key].image)).all()


@pytest.mark.parametrize("n", [2, 3])
def test_a_uniform_map_scores_exactly_one_in_n_squared(n, demo, tmp_path, capsys):
    single = [s for s in demo[:60] if len(set(s.labels.tolist())) == 1 and not any(s.hard)]
    shown = {demo.classes[s.labels[0]]: s.key for s in single}
    path = tmp_path / "list.json"
    cells = [[key, name] for name, key in sorted(shown.items())[: n * n]]
    path.write_text(json.dumps({"n": n, "side": 224, "mosaics": [cells]}))
    settings = ["dataset=grid", "compare=false", "method=custom", f"dataset.list={path}", f"results={tmp_path}"]
    settings += ["+dataset.build.pictures.count=60", "method.build._target_=tests.test_datasets_grid.uniform"]
    evaluate_job(load(settings))
    capsys.readouterr()
    table(["--records", str(tmp_path / "records"), "--measure", "energy", "--subset", "all", "--format", "csv"])
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame.accuracy.tolist() == [round(1 / n**2, 6)]
    assert frame.n.tolist() == [n * n]


def test_keys_change_with_what_is_in_a_mosaic(tmp_path, demo):
    single = [s for s in demo[:40] if len(set(s.labels.tolist())) == 1 and not s.hard.any()]
    cells = {demo.classes[s.labels[0]]: s.key for s in single}
    names = sorted(cells)[:5]

    def grid(chosen, side=64):
        path = tmp_path / "list.json"
        path.write_text(json.dumps({"n": 2, "side": side, "mosaics": [[[cells[name], name] for name in chosen]]}))
        return Grid(str(path), demo)

    keys = {grid(names[:4])[0].key, grid(names[1:5])[0].key, grid(names[3::-1])[0].key, grid(names[:4], 32)[0].key}
    assert len(keys) == 4
    assert grid(names[:4])[0].image.size == (128, 128)
    assert grid(names[:4])[0].file_digest is None, "pictures that no file holds"
    with pytest.raises(ValueError, match=r"a mosaic has .* twice"):
        grid([*names[:3], names[0]])
    with pytest.raises(ValueError, match="do not have 2 x 2 cells"):
        grid(names[:3])
    cells["tent"] = cells[names[0]]
    with pytest.raises(ValueError, match="does not show 'tent'"):
        grid(["tent", *names[1:4]])
    cells["dog"] = "nowhere"
    with pytest.raises(ValueError, match="names 1 pictures that the data set lacks, nowhere among them"):
        grid(["dog", *names[1:4]])
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="is no list of mosaics"):
        Grid(str(tmp_path / "list.json"), demo)
    with pytest.raises(FileNotFoundError, match=r"scripts.maintain.make_grid makes such a list"):
        Grid("nowhere.json", demo)


def test_mosaics_are_drawn_evenly_and_from_the_seed():
    names = [(f"{label}{number}", label) for label in "abcdef" for number in range(4)]
    mosaics = draw(names, 2, 60, 0)
    assert mosaics == draw(names, 2, 60, 0) != draw(names, 2, 60, 1)
    assert len({json.dumps(sorted(cells)) for cells in mosaics}) == 60
    for cells in mosaics:
        assert len({label for _, label in cells}) == 4
        assert all(key[0] == label for key, label in cells)
    used = pd.Series([key for cells in mosaics for key, _ in cells]).value_counts()
    assert used.max() - used.min() <= 6
    assert len(used) == 24
    with pytest.raises(ValueError, match="only 6 classes"):
        draw(names, 3, 1, 0)
    with pytest.raises(ValueError, match=r"make only .* different mosaics"):
        draw(names[::4], 2, 100, 0)


def test_candidates_show_one_class_and_every_network_is_sure_of_it():
    configs = [load([f"model={name}", "dataset.build.count=8"]) for name in ("resnet50", "vgg16")]
    sure, _ = candidates(configs, 0.9)
    all_of_one, _ = candidates(configs[:1], 0.0)
    demo = Demo(count=8)
    for key, label in all_of_one:
        sample = next(each for each in demo if each.key == key)
        assert {demo.classes[each] for each in sample.labels} == {label}
    assert set(sure) < set(all_of_one)


def test_pictures_of_any_size_are_squashed_into_their_cell():
    from eval.datasets.grid import Mosaic
    from eval.game.sample import Sample

    def sample(colour, size):
        empty = np.zeros((0, 4), int), np.zeros(0, int), np.zeros(0, bool)
        return Sample(colour, size, *empty, open=lambda: Image.new("RGB", size, colour))

    cells = [sample("red", (10, 40)), sample("lime", (64, 64)), sample("blue", (3, 5)), sample("white", (90, 20))]
    picture = np.asarray(Mosaic(tuple(cells), 16)())
    assert picture.shape == (32, 32, 3)
    assert [picture[y, x].tolist() for y in (8, 24) for x in (8, 24)] == [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255] * 3,
    ]
