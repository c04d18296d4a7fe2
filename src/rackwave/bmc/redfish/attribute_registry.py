"""BIOS attributes held against the attribute registry (DSP0268 AttributeRegistry) before anything is sent.

Rules:

- A wrong type, a value out of bounds or off the list, and a read-only or immutable attribute are problems.
- A hidden or grayed-out attribute is a doubt: the schema says that its value may be changed all the same.
- Dependencies are judged by the values that the BIOS would have afterwards: those in force, with what is
  wanted in their place. So an attribute may be set together with the one that unlocks it.
- A dependency that cannot be judged says nothing: it names an attribute whose value is not told
  (Supermicro's ``SMCFKItem…``), a condition that we do not know, or terms that need brackets (``OR,AND``).
- Several conditions without ``MapTerms`` mean "or": iDRAC's list two values of one attribute so.
- A dependency that sets another attribute is a problem where that attribute is wanted otherwise, unless the
  BIOS does not hold to it today: then it acts only when the first attribute is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from attrs import frozen

from ...core.bundle import AttributeValue, frozen_map
from ...core.settings_check import SettingsCheck
from .document import Document, dig, items, text

Values: TypeAlias = Mapping[str, AttributeValue]


@frozen
class Excerpt:
    """What a registry says of a few attributes: their entries, and the dependencies that bear on them."""

    entries: Mapping[str, Document]
    dependencies: tuple[Document, ...] = ()


def excerpt(registry: Document, names: Iterable[str]) -> Excerpt:
    """Take out of *registry* what concerns *names*; a whole one has half a thousand attributes."""
    wanted = frozenset(names)
    entries: dict[str, Document] = {}
    for entry in items(registry, "RegistryEntries", "Attributes"):
        name = text(entry, "AttributeName")
        if name in wanted and isinstance(entry, dict):
            entries[name] = entry
    dependencies = tuple(
        {"DependencyFor": dig(dependency, "DependencyFor"), **found}
        for dependency in items(registry, "RegistryEntries", "Dependencies")
        if text(dependency, "Type") in (None, "Map")
        and isinstance(found := dig(dependency, "Dependency"), dict)
        and text(found, "MapToAttribute") in wanted
    )
    return Excerpt(frozen_map(entries), dependencies)


def check(wanted: Values, current: Values, registry: Excerpt | None) -> SettingsCheck:
    """Hold *wanted* against what is in force and, where there is one, against the registry.

    An attribute that has the wanted value already is left out: it is not set.
    """
    changed = {name: value for name, value in wanted.items() if name not in current or current[name] != value}
    after = {**current, **wanted}
    problems: list[str] = []
    doubts: list[str] = []
    needs_reset: list[str] = []
    for name, value in sorted(changed.items()):
        entry = registry.entries.get(name) if registry is not None else None
        if entry is None:
            if problem := _without_entry(name, value, current, has_registry=registry is not None):
                problems.append(f"{name} {problem}")
            continue
        assert registry is not None  # noqa: S101 - it has the entry; told to the type checker
        standing = _standing(entry, name, registry.dependencies, after)
        problem, doubt = _problem(standing, value), _doubt(standing)
        forced = None if problem else _forced(name, registry.dependencies, changed, current)
        if problem or forced:
            problems.append(f"{name} {problem or forced}")
        elif doubt:
            doubts.append(f"{name} {doubt}")
        if entry.get("ResetRequired") is True:
            needs_reset.append(name)
    return SettingsCheck(tuple(problems), tuple(doubts), tuple(needs_reset))


def _without_entry(name: str, value: AttributeValue, current: Values, *, has_registry: bool) -> str | None:
    if name not in current:
        return "is not an attribute of this BIOS"
    now = current[name]
    if not has_registry and now is not None and type(value) is not type(now):
        return f"is of type {type(now).__name__}, not {type(value).__name__}"
    return None


# -- one attribute ------------------------------------------------------------------------------


def _problem(entry: Document, value: AttributeValue) -> str | None:
    if entry.get("ReadOnly") is True or entry.get("Immutable") is True:
        return f"is read-only{_because(entry)}"
    match text(entry, "Type"):
        case "Enumeration":
            allowed = [text(item, "ValueName") for item in items(entry, "Value")]
            return None if value in allowed else f"cannot be {value!r}, only {', '.join(filter(None, allowed))}"
        case "Integer":
            return _integer_problem(entry, value)
        case "Boolean":
            return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
        case "String" | "Password" as kind:
            return _string_problem(entry, value, secret=kind == "Password")
        case _:  # Date, or a word of a later registry: the BMC judges it
            return None


def _integer_problem(entry: Document, value: AttributeValue) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"must be a whole number, not {value!r}"
    low, high, step = (dig(entry, key) for key in ("LowerBound", "UpperBound", "ScalarIncrement"))
    if isinstance(low, int | float) and value < low:
        return f"must be at least {low}, not {value}"
    if isinstance(high, int | float) and value > high:
        return f"must be at most {high}, not {value}"
    if (
        isinstance(step, int)
        and not isinstance(step, bool)
        and step > 0
        and isinstance(low, int)
        and (value - low) % step
    ):
        return f"goes in steps of {step} from {low}; {value} is none"
    return None


def _string_problem(entry: Document, value: AttributeValue, *, secret: bool) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    shortest, longest = dig(entry, "MinLength"), dig(entry, "MaxLength")
    shown = "" if secret else f", not {value!r}"
    if isinstance(shortest, int) and len(value) < shortest:
        return f"must have at least {shortest} characters{shown}"
    if isinstance(longest, int) and len(value) > longest:
        return f"must have at most {longest} characters{shown}"
    return None


def _doubt(entry: Document) -> str | None:
    for key, words in (("GrayOut", "is grayed out"), ("Hidden", "is hidden")):
        if entry.get(key) is True:
            return f"{words}{_because(entry)}; the BIOS may not take it"
    return None


# -- dependencies ---------------------------------------------------------------------------------

_BECAUSE = "\0because"  # no registry has such a key
_FLAGS = frozenset({"ReadOnly", "Immutable", "GrayOut", "Hidden"})
_BOUNDS = frozenset({"LowerBound", "UpperBound", "ScalarIncrement", "MinLength", "MaxLength"})


def _because(entry: Document) -> str:
    why = entry.get(_BECAUSE)
    return f" while {why}" if isinstance(why, str) else ""


def _standing(entry: Document, name: str, dependencies: tuple[Document, ...], after: Values) -> Document:
    """*entry* as the dependencies make it. What cannot be judged drops the flag or bound that it is about."""
    found = dict(entry)
    for dependency in dependencies:
        about = text(dependency, "MapToProperty")
        if text(dependency, "MapToAttribute") != name or about not in _FLAGS | _BOUNDS:
            continue
        match _holds(dependency, after):
            case True:
                found[about] = dependency.get("MapToValue")
                if found[about] is True:
                    found[_BECAUSE] = _told(dependency)
            case None:
                found.pop(about, None)
    return found


def _forced(name: str, dependencies: tuple[Document, ...], changed: Values, current: Values) -> str | None:
    """Say to what else the BIOS would set *name*, if it would."""
    value, after = changed[name], {**current, **changed}
    for dependency in dependencies:
        if text(dependency, "MapToAttribute") != name or text(dependency, "MapToProperty") != "CurrentValue":
            continue
        forced = dependency.get("MapToValue")
        is_about_itself = any(text(c, "MapFromAttribute") == name for c in items(dependency, "MapFrom"))
        if is_about_itself and text(dependency, "DependencyFor") not in changed:
            continue  # iLO: whichever of two serial ports is set, it is the other that gives way
        is_kept_to = not (_holds(dependency, current) is True and current.get(name) != forced)
        if _holds(dependency, after) is True and forced != value and is_kept_to:
            return f"cannot be {value!r} while {_told(dependency)}: that makes it {forced!r}"
    return None


_CONDITIONS: Mapping[str, Callable[[float, float], bool]] = {
    "GTR": lambda a, b: a > b,
    "GEQ": lambda a, b: a >= b,
    "LSS": lambda a, b: a < b,
    "LEQ": lambda a, b: a <= b,
}


def _holds(dependency: Document, values: Values) -> bool | None:
    """Whether the conditions of *dependency* hold with *values*; None: that cannot be told."""
    verdict: bool | None = False
    conditions = items(dependency, "MapFrom")
    explicit = any(text(condition, "MapTerms") for condition in conditions[1:])
    for number, condition in enumerate(conditions):
        term = text(condition, "MapTerms") or ("" if explicit else "OR")
        one = _condition_holds(condition, values)
        if number == 0:
            verdict = one
        elif term == "AND":
            verdict = False if False in (verdict, one) else None if None in (verdict, one) else True
        elif term == "OR":
            verdict = True if True in (verdict, one) else None if None in (verdict, one) else False
        else:
            return None
    return verdict


def _condition_holds(condition: object, values: Values) -> bool | None:
    name = text(condition, "MapFromAttribute")
    if name is None or name not in values or text(condition, "MapFromProperty") != "CurrentValue":
        return None
    now, meant = values[name], dig(condition, "MapFromValue")
    match text(condition, "MapFromCondition"):
        case "EQU":
            return now == meant
        case "NEQ":
            return now != meant
        case str(word) if word in _CONDITIONS and isinstance(now, int) and isinstance(meant, int | float):
            return _CONDITIONS[word](now, meant)
        case _:
            return None


_SIGNS = {"EQU": "is", "NEQ": "is not", "GTR": "is above", "GEQ": "is at least", "LSS": "is below", "LEQ": "is at most"}


def _told(dependency: Document) -> str:
    """The conditions of *dependency* as a person reads them."""
    words = []
    for number, condition in enumerate(items(dependency, "MapFrom")):
        term = f"{(text(condition, 'MapTerms') or 'or').lower()} " if number else ""
        sign = _SIGNS.get(text(condition, "MapFromCondition") or "", "?")
        words.append(f"{term}{text(condition, 'MapFromAttribute')} {sign} {dig(condition, 'MapFromValue')}")
    return " ".join(words)
