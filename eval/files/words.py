"""Counts in sentences."""


def several(count: int, one: str, more: str = "") -> str:
    """ "1 picture", "1,200 pictures", "2 classes"; with `more`, "1 map is", "2 maps are"."""
    more = more or one + ("es" if one.endswith("s") else "s")
    return f"{count:,} {one if count == 1 else more}"
