"""A sweep's jobs, for tests."""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from eval.running.config import load_jobs


@cache
def load_sweep(*overrides: str) -> tuple[tuple[str, DictConfig], ...]:
    """(name, config) of every job of `python run.py -m OVERRIDES`; composed once, so not to be changed."""
    jobs = [(name, cfg) for name, _, cfg in load_jobs(overrides, multirun=True)[1]]
    for _, cfg in jobs:
        OmegaConf.set_readonly(cfg, True)
    return tuple(jobs)
