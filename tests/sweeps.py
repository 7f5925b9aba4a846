"""A sweep's jobs, for tests."""

from omegaconf import DictConfig

from eval.running.config import load_jobs


def load_sweep(overrides: list[str]) -> list[tuple[str, DictConfig]]:
    """(name, config) of every job of `python run.py -m OVERRIDES`."""
    return [(name, cfg) for name, _, cfg in load_jobs(overrides, multirun=True)[1]]
