"""How concentrated a map is, whatever it is about: sparseness (Chalasani et al., ICML 2020: the Gini index) and
complexity (Bhatt et al., IJCAI 2020: the entropy)."""

from collections.abc import Sequence

from eval.measures.measure import Case, Score, column


class Concentration:
    """Of the map's positive mass over the original picture's pixels. gini: 0 where all have the same, towards 1 where
    one has everything. entropy: of the mass as a distribution, divided by the logarithm of the number of pixels: 1
    where all have the same. None without positive mass, and for a bare point."""

    name = "concentration"
    version = 1
    fields = ("gini", "entropy")
    scores = (
        Score("gini", "Gini index of the map's positive mass over pixels; high is sparse", "index", False,
              column("gini"), ranked=False),
        Score("entropy", "entropy of the map's positive mass over pixels, as a share of a uniform map's; low is simple",
              "share", True, column("entropy"), ranked=False),
    )  # fmt: skip

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [{name: self._of(case, name) for name in self.fields} for case in cases]

    @staticmethod
    def _of(case: Case, name: str) -> float | None:
        value = None if case.heat is None else getattr(case.thresholds, name)
        return None if value is None else min(1.0, max(0.0, round(value, 6)))
