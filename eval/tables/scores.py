"""Every score by its name, for whoever reads rows."""

from eval.files.places import near
from eval.measures.builtin import MAP_MEASURES
from eval.measures.measure import Score


class Scores(dict[str, Score]):
    """{name: score}; an unknown name is a ValueError with the near ones."""

    def __missing__(self, name: str) -> Score:
        raise ValueError(f"unknown measure {name!r}; near names: {near(name, self)}")


SCORES = Scores({score.name: score for measure in MAP_MEASURES for score in measure.scores})
