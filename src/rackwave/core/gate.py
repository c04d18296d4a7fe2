"""Is the node well? A verdict from witnesses, never from one word (system.md, "What the field has taught")."""

from __future__ import annotations

import re
from typing import TypeAlias

from attrs import frozen

from .bundle import Bundle, Witness
from .log import LogEntry, LogNews, Severity
from .observation import Health, Observation, Post, Power, Unknown
from .policy import Policy


@frozen
class Well:
    """Every witness that was asked speaks for it."""

    evidence: tuple[str, ...]


@frozen
class NotYet:
    """On the way: look again."""

    why: str


@frozen
class NotKnown:
    """A witness could not be read: look again or stop, never act."""

    why: str


@frozen
class Ill:
    """A witness speaks against it. *dead*: nothing runs on the host, so that a restart takes nothing from anybody."""

    why: str
    dead: bool = True


_OWN = re.compile(
    r"\bpower(ed)?[ -]?(is |was )?(off|on|up|down|cycl|reset|button)"
    r"|\b(system|host|server|bmc|controller|idrac|ilo)\b.{0,20}\b(restarted|rebooted|reset|started)\b"
    r"|\bfirmware\b.{0,40}\b(updated|changed|flashed|upgraded|activated)\b|\bversion\b.{0,20}\bchange"
    r"|\bpower supply\b.{0,40}\b(input|lost)\b",
    re.IGNORECASE,
)
"""What an attempt's own acts enter, on some makes as critical: power off and on, resets, changed firmware. A power
supply's input is among it: outlets are cut to bring a BMC back."""


def critical_events(news: LogNews) -> tuple[LogEntry, ...]:
    """Return the critical entries of *news* that our own acts do not explain."""
    return tuple(e for e in news.entries if e.severity is Severity.CRITICAL and not _OWN.search(e.message))


def log_counts(policy: Policy, bundle: Bundle) -> int:
    """Return how much the event log counts, as ``critical_events`` does: a bundle may ask for it, never forbid it."""
    asked = any(Witness.LOG in element.checks for element in bundle.manifest.elements)
    return max(policy.critical_events, 2) if asked else policy.critical_events


Verdict: TypeAlias = Well | NotYet | NotKnown | Ill


def judge(seen: Observation) -> Verdict:
    """Judge the host by power, POST and health. A warning is no failure; a critical health is.

    A host whose operating system runs, or may run, is never called dead for its health: a bad memory
    module is no reason to take its work from it.
    """
    unknown = [
        f"{name} is {value}"
        for name, value in (("power", seen.power), ("POST", seen.post), ("health", seen.health))
        if isinstance(value, Unknown)
    ]
    if seen.post is Post.FAILED:
        return Ill("the host does not come through POST")
    if seen.power is Power.OFF:
        return Ill("the host is off")
    if unknown:
        return NotKnown(", ".join(unknown))
    if seen.power is Power.CHANGING or seen.post is not Post.COMPLETE:
        return NotYet("the host is starting")
    if seen.health is Health.CRITICAL:
        return Ill("the system's health is critical", dead=seen.os is False)
    return Well((f"power {seen.power}", f"POST {seen.post}", f"health {seen.health}"))
