"""Ranges in the inventory: ``r[1-4]n[01-16]`` stands for 64 names, in the order in which it is written.

The first range turns slowest. ``[01-16]`` keeps its zeros, ``[1,3-5]`` lists, ``[1-9/2]`` steps. A
bracket that holds a colon is an IPv6 address and stands for itself.

ClusterShell's NodeSet, which reads ``--nodes``, sorts what it expands. Here the order must stay,
since the n-th name goes with the n-th address.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from math import prod

from attrs import frozen

from ..errors import UsageError

LIMIT = 10_000  # ten times the largest rack row; a slip such as [1-99999999] must not eat the memory

_BRACKET = re.compile(r"\[([^\[\]:]*)\]")
_PART = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?:/(\d{1,4}))?)?", re.ASCII)


@frozen
class Expanded:
    """One name out of a range, with the value that each of its brackets had."""

    text: str
    values: tuple[str, ...]


def expand(text: str) -> Iterator[Expanded]:
    """Yield what *text* stands for; itself where it has no range.

    Raises:
        UsageError: a range is malformed, or it is more than ``LIMIT`` names.
    """
    pieces = _BRACKET.split(text)
    fixed, ranges = pieces[::2], pieces[1::2]
    if any(re.search(r"[\[\]]", re.sub(r"\[[0-9A-Fa-f:.%]*:[^\[\]]*\]", "", part)) for part in fixed):
        raise UsageError(f"{text!r} has a bracket without its partner.", advice="Write ranges like r[1-4]n[01-16].")
    _refuse_too_many(text, ranges)
    for values in itertools.product(*(list(_values(content, text)) for content in ranges)):
        yield Expanded("".join(itertools.chain(*itertools.zip_longest(fixed, values, fillvalue=""))), values)


def count(text: str) -> int:
    """How many names *text* stands for, without expanding it.

    Raises:
        UsageError: a range is malformed.
    """
    return prod(_size(content, text) for content in _BRACKET.findall(text))


def _refuse_too_many(text: str, ranges: list[str]) -> None:
    if prod(_size(content, text) for content in ranges) > LIMIT:
        raise UsageError(f"{text!r} stands for more than {LIMIT} names.", advice="Check the range for a slip.")


def _size(content: str, text: str) -> int:
    return sum(len(numbers) for numbers, _ in _parts(content, text))


def _values(content: str, text: str) -> Iterator[str]:
    for numbers, width in _parts(content, text):
        for number in numbers:
            yield f"{number:0{width}d}"


def _parts(content: str, text: str) -> Iterator[tuple[range, int]]:
    for part in content.split(","):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise UsageError(f"{text!r} has the range {part!r}.", advice="Write ranges like [1-4], [01-16] or [1,3-5].")
        first, last, step = found[1], found[2] or found[1], int(found[3] or 1)
        if int(last) < int(first) or step == 0:
            raise UsageError(
                f"{text!r} has the range {part!r}, which is empty.", advice="Write the lower number first."
            )
        yield range(int(first), int(last) + 1, step), len(first) if first.startswith("0") else 0
