"""Counts in sentences: one word for one, another for none and for many."""

import re
from pathlib import Path

import pytest

from eval.files.words import several

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ["pair"], "0 pairs"),
        (1, ["picture"], "1 picture"),
        (2, ["class"], "2 classes"),
        (1_200, ["pair"], "1,200 pairs"),
        (1, ["map is", "maps are"], "1 map is"),
        (3, ["map is", "maps are"], "3 maps are"),
    ],
)
def test_one_is_not_many(count, words, text):
    assert several(count, *words) == text


def test_no_second_way_to_count_stands_in_the_suite():
    """ "picture{'s' * (n > 1)}" and its kin, which disagree about none."""
    own = re.compile(r"""\{\s*["']e?s["'] (\*|if)""")
    files = [path for folder in ("eval", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    assert [path.name for path in files if own.search(path.read_text(encoding="utf-8"))] == []
