"""Verdicts that others have left beside a claim: read, never believed further than who wrote them."""

from __future__ import annotations

import re
from typing import Any

from eval.claims.claim import Claim
from eval.claims.folder import VERDICTS
from eval.files.parsed import parsed_json, shown

KINDS: dict[str, Any] = {"by": str, "date": str, "commit": str | None, "changed": bool, "machine": str,
                         "claim": str, "holds": bool, "verdict": str, "steps": dict}  # fmt: skip
RERUN = re.compile(r"rerun ([0-9,]{1,12}) of ([0-9,]{1,12})")


def verdicts(claim: Claim) -> list[dict]:
    """The verdicts about the claim as it is, the furthest first. ValueError names a file that is none."""
    found = []
    for name, text in sorted(claim.folder.files.items()):
        if name.startswith(f"{VERDICTS}/"):
            each = _read(text, name)
            found += [each] if each["claim"] == claim.name else []
    return sorted(found, key=lambda each: (-reach(each["verdict"]), each["date"]))


def _read(text: bytes, name: str) -> dict:
    content = parsed_json(text, name)
    if not isinstance(content, dict) or content.keys() != KINDS.keys():
        raise ValueError(f"{name} is no verdict")
    for field, kind in KINDS.items():
        value = content[field]
        if not isinstance(value, kind) or (isinstance(value, str) and (len(value) > 200 or not value.isprintable())):
            raise ValueError(f"{name} is no verdict: it has {shown(value)} as {field}")
    if reach(content["verdict"]) < 0:
        raise ValueError(f"{name} has the verdict {shown(content['verdict'])}, which there is not")
    return content


def reach(verdict: str) -> float:
    """How far a verdict goes: a larger number means more; one that a claim does not hold comes before all others."""
    order = {"whole": 1.0, "recomputed": 2.0, "fully rerun": 4.0, "does not hold": 5.0}
    if (found := RERUN.fullmatch(verdict)) is not None:
        part, whole = (int(number.replace(",", "") or 0) for number in found.groups())
        return 3.0 + (part / whole if 0 < part < whole else 0)
    return order.get(verdict, -1.0)
