"""The way from the version that is there to the one that is wanted, and the stepping stones on it (P17)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from .bundle import BUNDLE_STONE, Element
from .version import compare, same


def refused_way(element: Element, found: str) -> str | None:
    """Say why *element* may not be written over the version *found*; None where it may.

    ``accepts`` decides where it is given. Else the last of ``via`` must be there: what is written so,
    or what its scheme calls newer. A stone that is a bundle can only be told of: its seq says nothing
    about the version that a machine has.
    """
    allowed = (*element.accepts, element.version or "")
    if any(fnmatchcase(found, pattern) or same(element.scheme, found, pattern) for pattern in allowed):
        return None
    if element.accepts:
        told = f"this image may only follow {', '.join(element.accepts)} (P17)"
        return f"{told}; {_next(element, found)}" if element.via else told
    if not element.via or _is_past(element, found, element.via[-1]):
        return None
    return _next(element, found)


def _next(element: Element, found: str) -> str:
    """Name the first stone that is not behind us."""
    passed = [place for place, stone in enumerate(element.via) if _is_past(element, found, stone)]
    left = element.via[passed[-1] + 1 :] if passed else element.via
    if not left:
        return f"it is past {element.via[-1]}, its last stepping stone"
    stone = left[0]
    named = f"bundle {stone.removeprefix(BUNDLE_STONE)}" if stone.startswith(BUNDLE_STONE) else stone
    return f"it must be brought to {named} first: a stepping stone is missing"


def _is_past(element: Element, found: str, stone: str) -> bool:
    return compare(element.scheme, found, stone) in (0, 1)
