"""Every file in conf/ composes, and every experiment means the jobs that it says."""

import itertools
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eval.files.places import cores
from eval.game.protocol import Protocol
from eval.running.config import load, load_jobs
from eval.running.job import network_settings
from eval.running.settings import validate, workers_of
from tests.sweeps import load_sweep

CONF = Path(__file__).parent.parent / "conf"
CHOICES = [
    (group, path.stem)
    for group in ("dataset", "model", "method", "protocol")
    for path in sorted((CONF / group).glob("*.yaml"))
]
OPEN = ("custom", "folder", "maps")  # whose user has something to say first
NAMED = {"other_picture": ["method.of=gradcam", "method.folder=."],
         "torchvision": ["model.arch=inception_v3"], "timm": ["model.arch=resnet18", "model.side=224"],
         "openclip": ["model.side=224"]}  # fmt: skip
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
LITES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
OURS = ("gpnncam_alone", "gpnncam_hr", "gpnncam_hr_cheap")
PAPER = ("gradcam", "gradcampp", "layercam", "relevancecam", "scorecam", "gpnncam")
NETWORKS = ("vgg16", "resnet50")
EXPECTED = {
    "demo_table": {"dataset": ("demo",), "model": NETWORKS, "method": ("center", "random", *PAPER)},
    "paper_table": {"dataset": ("pascal", "imagenet"), "model": NETWORKS, "method": ("center", *PAPER)},
    "pascal_table": {
        "dataset": ("pascal",),
        "model": tuple(f"{name}_voc" for name in LITES),
        "method": ("center", *PAPER, *OURS),
    },
    "imagenet_table": {"dataset": ("imagenet",), "model": LITES, "method": ("center", *PAPER, *OURS)},
    "torchray_table": {
        "dataset": ("pascal",),
        "model": NETWORKS,
        "method": (
            "center",
            "gradient",
            "deconvnet",
            "guided_backprop",
            "gradcam",
            "excitation_backprop",
            "contrastive_excitation_backprop",
        ),
    },
}


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=["-".join(choice) for choice in CHOICES])
def test_every_choice_composes_and_opens_with_what_it_is(group, name):
    cfg = load([f"{group}={name}", *NAMED.get(name, ())])
    if "???" in (CONF / group / f"{name}.yaml").read_text(encoding="utf-8") and name not in NAMED:
        assert name in OPEN
        with pytest.raises(ValueError, match=rf"{group}\.[\w.]+ is not set"):
            validate(cfg)
    else:
        validate(cfg)
    if name not in OPEN:
        assert OmegaConf.missing_keys(cfg) == set(), "everything has a value"
    Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# "), "its first line says what it is"
    assert cfg[group].name
    if group == "method":
        assert cfg.method.label or name == "custom", "a label of its own, but for what takes the name's"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_expands_to_valid_jobs_with_a_network_each(name):
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"experiment={name}" in text.split("\ndefaults:")[0], "the header has its command"
    jobs = load_sweep(f"experiment={name}")
    names = [job for job, _ in jobs]
    assert len(set(names)) == len(names) > 1
    for _, cfg in jobs:
        validate(cfg)
        assert cfg.method.blind or "build" in network_settings(cfg)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_tables_experiments_mean_these_runs(name):
    actual = [(cfg.dataset.name, cfg.model.name, cfg.method.name) for _, cfg in load_sweep(f"experiment={name}")]
    expected = EXPECTED[name]
    assert sorted(actual) == sorted(itertools.product(expected["dataset"], expected["model"], expected["method"]))
    protocol = "torchray" if name.startswith("torchray") else "paper"
    assert {cfg.protocol.name for _, cfg in load_sweep(f"experiment={name}")} == {protocol}


def test_scorecam_alone_sees_a_draw_and_each_network_its_own_side():
    for _, cfg in load_sweep("experiment=pascal_table"):
        assert cfg.draw == (60 if cfg.method.name == "scorecam" else None)
        assert cfg.protocol.input.side == {"0": 224, "1": 240, "2": 260}[cfg.model.name[17]]
        assert cfg.model.class_map is None
    assert {cfg.draw for _, cfg in load_sweep("experiment=pascal_table", "draw=7")} == {7}
    assert {cfg.draw for _, cfg in load_sweep("experiment=pascal_table", "draws.scorecam=null")} == {None}


def test_a_part_of_an_experiment_and_its_roots_stand_on_the_command_line():
    jobs = load_sweep("experiment=paper_table", "method=gpnncam", "dataset=pascal", "roots.pascal=A", "shard=1/2,2/2")
    assert len(jobs) == 4
    assert {cfg.dataset.root for _, cfg in jobs} == {"A"}
    assert {cfg.shard for _, cfg in jobs} == {"1/2", "2/2"}
    jobs = load_sweep("experiment=paper_table", "method=gradcam", "roots.imagenet=B", "roots.pascal=A")
    assert {(cfg.dataset.name, cfg.dataset.root) for _, cfg in jobs} == {("pascal", "A"), ("imagenet", "B")}


def test_a_cell_of_the_paper_in_the_sweep_has_its_published_number():
    from eval.tables.published import published

    for _, cfg in load_sweep("experiment=paper_table"):
        if cfg.method.name != "center":
            assert published(cfg.dataset.name, "all", cfg.model.name, cfg.method.name, "paper"), cfg.method.name


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 5, 9}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    assert cores() == 64
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores() == 1


def test_decoding_processes_follow_the_device_unless_they_are_set(monkeypatch):
    assert workers_of(0, "cuda") == 0
    assert workers_of(7, "cpu") == 7
    assert workers_of(None, "cpu") == 1
    for have, expected in ((1, 1), (2, 1), (3, 2), (64, 4)):
        monkeypatch.setattr("eval.running.settings.cores", lambda have=have: have)
        assert workers_of(None, "cuda:1") == expected


def test_one_job_runs_elsewhere_where_a_launcher_is_named():
    """A job that was meant for the cluster must not run here without a word."""
    for launcher in ("local", "slurm"):
        sweeping, jobs = load_jobs(["method=center", f"launcher={launcher}"])
        assert sweeping
        assert len(jobs) == 1
    assert load_jobs(["method=center"])[0] is False


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ("hydra/launcher=slurm", "hydra/launcher=slurm is launcher=slurm here"),
        ("hydra.launcher.partition=gpu", "hydra.launcher.partition is launcher.partition here"),
    ],
)
def test_settings_of_hydras_launchers_are_answered_with_ours(setting, answer):
    with pytest.raises(ValueError, match=re.escape(answer)):
        load_jobs(["method=center", setting])
