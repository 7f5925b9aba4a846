"""Score an attribution method in the pointing game: `python run.py method=gpnncam dataset=pascal_diff`.

This is the only file that imports hydra: it builds data set, classifier and method from conf/, evaluates what has no
row yet, and prints a table. Scripts that need the same objects use `load` and the `build_*` functions below.
"""

import functools
import inspect
import os
import sys
import time
import traceback
from pathlib import Path

import hydra
import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.errors import HydraException, InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher, LocalLauncher, SlurmLauncher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eval.class_map import outputs
from eval.classifier import Classifier
from eval.job import Outcome, evaluate_job, network_settings
from eval.settings import device_of
from eval.summary import print_sweep, summarise
from eval.sweep import Progress, note

ROOT = Path(__file__).resolve().parent
# What a user can cause: one clear message. Anything else is a mistake of ours and shows its traceback.
EXPECTED = (ValueError, OSError, LookupError, RuntimeError, ImportError, HydraException, OmegaConfBaseException)


def load(overrides: list[str]) -> DictConfig:
    """The config that `python run.py OVERRIDES` would use, for scripts; without an experiment's sweep."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return expanded(hydra.compose("config", overrides=overrides))


def expanded(config: DictConfig) -> DictConfig:
    """The config with `method.build.inner=NAME` replaced by that method's settings, which belong to the identity."""
    for method in (config.method, *(config.get("companions") or {}).values()):
        while OmegaConf.is_dict(method.get("build")) and isinstance(method.build.get("inner"), str):
            method.build.inner = hydra.compose("config", overrides=[f"method={method.build.inner}"]).method
            method = method.build.inner
    return config


def load_sweep(overrides: list[str]) -> list[tuple[str, DictConfig]]:
    """(name, config) of every job of `python run.py -m OVERRIDES`, an experiment's sweep included; the name says what
    is not alike in all jobs."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        # hydra.compose takes no sweeps.
        config = GlobalHydra.instance().hydra.compose_config("config", overrides, run_mode=RunMode.MULTIRUN)
        return jobs_of(config)


def jobs_of(config: DictConfig) -> list[tuple[str, DictConfig]]:
    """The same from a sweep's own config, where hydra is already running."""
    asked = [f"{name}={value}" for name, value in (config.hydra.sweeper.params or {}).items()]
    asked = OverridesParser.create().parse_overrides([*asked, *config.hydra.overrides.task])
    jobs = [job for batch in BasicSweeper.split_arguments(asked, None) for job in batch]
    alike = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    names = [" ".join(setting for setting in filter_overrides(job) if setting not in alike) for job in jobs]
    return [(name, expanded(hydra.compose("config", overrides=job))) for name, job in zip(names, jobs, strict=True)]


def instantiate(settings: DictConfig, **more):
    """hydra's, with the error of the called code itself instead of hydra's account of the call."""
    try:
        return hydra.utils.instantiate(settings, **more, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, TypeError):
            raise ValueError(f"{settings._target_}: {cause}") from error
        raise cause if isinstance(cause, EXPECTED) else error from error


def build_dataset(cfg: DictConfig):
    """The data set of the config; FileNotFoundError says what is missing and how to get it."""
    return instantiate(cfg.dataset.build)


def build_classifier(cfg: DictConfig, classes) -> Classifier:
    """The classifier of the config for a data set's classes; ValueError where its outputs do not fit them."""
    settings = network_settings(cfg)
    network = instantiate(settings.build)
    device = device_of(cfg.device)
    with torch.no_grad():
        blank = torch.zeros(1, 3, cfg.protocol.input.side, cfg.protocol.input.side, device=device)
        count = network.to(device).eval()(blank).shape[1]
    return Classifier(
        network,
        mean=settings.mean,
        std=settings.std,
        layers=OmegaConf.to_container(settings.layers, resolve=True),
        classes=classes,
        outputs=outputs(classes, cfg.model.class_map, count),
        device=device,
    )


def build_method(method: DictConfig, classifier: Classifier | None, classes):
    """The callable of a `method` config. A class is built with classifier= (classes= if blind); a function is called
    as function(image, targets, classifier=...)."""
    target = instantiate(method.build, _partial_=True)
    known = {"classes": classes} if method.blind else {"classifier": classifier}
    if not inspect.isclass(target.func):
        return functools.partial(target, **known)
    signature = inspect.signature(target.func)
    known = {name: value for name, value in known.items() if name in signature.parameters}
    try:
        signature.bind(*target.args, **target.keywords, **known)
    except TypeError as error:
        raise ValueError(f"method={method.name}: {method.build._target_}: {error}") from None
    return target(**known)


def job(cfg: DictConfig) -> Outcome:
    """One run with its companions."""
    return evaluate_job(cfg, build=sys.modules[__name__])


def ends_the_sweep(method):
    """Hydra makes a warning of an error in a callback and goes on; here it ends the sweep, with exit status 1."""

    @functools.wraps(method)
    def guarded(self, *arguments, **settings):
        try:
            return method(self, *arguments, **settings)
        except EXPECTED as error:
            sys.exit(f"error: {error}")
        except Exception:
            traceback.print_exc()
            sys.exit(1)

    return guarded


class Sweep(Callback):
    """A multirun: checks every job before the first one starts, says how far it is, names those that failed after the
    others have run, and makes the exit status say so."""

    @ends_the_sweep
    def on_multirun_start(self, config: DictConfig, **_) -> None:
        from scripts.preflight import preflight

        try:
            configs = jobs_of(config)
            jobs, problems = preflight(configs)
        except EXPECTED as error:
            jobs, problems = [], [str(error)]
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        if problems:
            sys.exit("nothing was started")
        self.process, self.progress = os.getpid(), Progress(Path(config.hydra.sweep.dir), jobs)
        self.protocols = [cfg.protocol for _, cfg in configs]
        print(self.progress.opening(), flush=True)

    def on_job_start(self, config: DictConfig, **_) -> None:
        self.started = time.monotonic()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_) -> None:
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        seconds = time.monotonic() - self.started
        note(Path(config.hydra.sweep.dir), config.hydra.job.num, seconds, **job_return.return_value)
        if os.getpid() == self.process:  # elsewhere, the process that waits tells
            self.progress.tell()

    @ends_the_sweep
    def on_multirun_end(self, config: DictConfig, **_) -> None:
        self.progress.tell()
        print_sweep(self.progress.folders(), self.protocols)
        failures = self.progress.failures()
        for failure in failures:
            print(f"failed: {failure}", file=sys.stderr)
        if config.get("against"):
            from scripts.compare import main as compare

            print()
            compare(["--records", str(Path(config.results) / "records"), "--against", config.against])
        if failures:
            sys.exit(1)


class Cluster(BaseSubmititLauncher):
    """Runs a sweep's jobs in processes of this machine or of a SLURM cluster; settings in conf/hydra/launcher."""

    def launch(self, job_overrides, initial_job_idx: int) -> list[JobReturn]:
        from eval.cluster import launch

        sweep = next(callback for callback in self.hydra_context.callbacks.callbacks if isinstance(callback, Sweep))
        calls = {
            number: (list(job), "hydra.sweep.dir", number, f"job_{number}", Singleton.get_state())
            for number, job in enumerate(job_overrides, initial_job_idx)
        }
        launch(self._EXECUTOR, self, calls, self.params, sweep.progress)
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]


class Local(Cluster):
    _EXECUTOR = "local"


class Slurm(Cluster):
    _EXECUTOR = "slurm"


# Hydra takes launchers from its own plugin package alone, so ours stand in for those of the submitit plugin.
for plugin, ours in ((LocalLauncher, Local), (SlurmLauncher, Slurm)):
    Plugins.instance().class_name_to_class[f"{plugin.__module__}.{plugin.__name__}"] = ours


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")
def main(cfg: DictConfig) -> dict:
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    cfg = expanded(cfg)
    cfg.compare = cfg.compare and not sweeping  # the sweep says itself what is compared
    outcome, error = Outcome(), None
    try:
        outcome = job(cfg)
        if not sweeping:
            summarise(cfg, outcome, build=sys.modules[__name__])
        if outcome.failed:
            listed = "".join(f"\n  {message}" for _, message in outcome.failed)
            error = f"{len(outcome.failed)} pictures failed and have no row:{listed}"
    except EXPECTED as expected:
        error = str(expected).strip() or repr(expected)
    except Exception as mistake:
        if not sweeping:
            raise
        traceback.print_exc()  # and the other jobs run on
        error = repr(mistake)
    if error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        if not sweeping:
            sys.exit(1)
    return {"pairs": outcome.pairs, "folders": [str(folder) for folder in outcome.folders], "error": error}


if __name__ == "__main__":
    from run import main  # callbacks and launchers are named run.X in conf/: one copy of this module, not two

    main()
