"""Every score by its name: those of each row, and those of the measures under conf/measure."""

import importlib
from collections.abc import Iterable
from typing import Any

import yaml

from eval.files.places import CONF, near
from eval.measures.map_measures import MAP_MEASURES
from eval.measures.measure import Score
from eval.records.loading import Run


class Scores(dict[str, Score]):
    """{name: score}; an unknown name is a ValueError with the near ones.

    Measures that need the network are imported when a name is not among the scores that every row has. measures: which
    measure each of their scores belongs to.
    """

    def __init__(self, known: Iterable[Score]):
        super().__init__({score.name: score for score in known})
        self.measures: dict[str, str] = {}
        self._read = False

    def __missing__(self, name: str) -> Score:
        self.learn_suite()
        if name not in self:
            raise ValueError(f"unknown measure {name!r}; near names: {near(name, self)}")
        return self[name]

    def measure_of(self, name: str) -> str | None:
        """The measure whose observations the score is made of; None where every row has what it needs."""
        self[name]
        return self.measures.get(name)

    def learn(self, target: str) -> None:
        """Add the scores of a measure by its dotted name, as measure.json states it: the class is imported.

        ValueError where it cannot be, or where a score of another measure has that name.
        """
        module, _, name = target.rpartition(".")
        try:
            measure: Any = getattr(importlib.import_module(module), name)
            scores, owner = tuple(measure.scores), str(measure.name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"the measure {target} cannot be read: {error}; is its folder in PYTHONPATH?") from error
        for score in scores:
            if score.name in self and self.measures.get(score.name) != owner:
                raise ValueError(f"{target} has a score {score.name!r}, which is another measure's; rename it")
            self[score.name] = score
            self.measures[score.name] = owner

    def learn_suite(self) -> None:
        """Add the scores of every measure under conf/measure."""
        if self._read:
            return
        self._read = True
        for path in sorted((CONF / "measure").glob("*.yaml")):
            target = yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_", "???")
            if target != "???":
                self.learn(target)


SCORES = Scores(score for measure in MAP_MEASURES for score in measure.scores)


def learn_scores(name: str, runs: Iterable[Run]) -> None:
    """Make a score of a measure of the user's own known: where no other has that name, the measures that runs were
    observed with are imported."""
    if name in SCORES:
        return
    SCORES.learn_suite()
    if name in SCORES:
        return
    targets = {each.part["build"]["_target_"] for run in runs for each in run.observations}
    for target in sorted(target for target in targets if not target.startswith("eval.")):
        SCORES.learn(target)
