"""Turns events into JSON documents and back, for the journal.

The form on disk:

* an event is its class's name (``kind``) and a document of its fields;
* a name, a digest or an enumeration is its string, a ``BundleId`` is ``"A.2"``;
* a value of a union (a Step, a Receipt, ``str | Unknown``) that is one of our classes carries the
  class's name under ``"type"``; the union's plain members stand as they are.

Classes may gain fields that have a default: a document without them is read with the default, and
fields that are not known are passed over. A kind that is not known stops the reading.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, TypeAlias, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError, StructureHandlerNotFoundError

from ..core.event import Event
from ..core.identity import BundleId
from ..errors import RackwaveError, StateError

Document: TypeAlias = dict[str, Any]
_TAG = "type"
_MAPPING = "mapping"  # the tag of a plain mapping in a union that also has classes


class EventCodec:
    """Encodes and decodes every member of ``core.event.Event``. Making one costs some ms; share it."""

    def __init__(self) -> None:
        self._converter = _converter()
        self._kinds: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}

    def encode(self, event: Event) -> tuple[str, Document]:
        """Return the event's kind and its document, which json can write."""
        document: Document = self._converter.unstructure(event)
        return type(event).__name__, document

    def decode(self, kind: str, document: Document, *, written_by: str = "") -> Event:
        """Read an event back; *written_by* is the version of rackwave that wrote it.

        Raises:
            StateError: the kind is not known, or the document does not fit it.
        """
        cls = self._kinds.get(kind)
        if cls is None:
            raise StateError(
                f"The journal holds an event {kind!r} written by rackwave {written_by or '(version not recorded)'}, "
                "which this version does not know.",
                advice="Use that version or a newer one.",
            )
        try:
            event: Event = self._converter.structure(document, cls)
        except (
            BaseValidationError,
            StructureHandlerNotFoundError,
            RackwaveError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise StateError(
                f"An event {kind!r} in the journal, written by rackwave {written_by or '(version not recorded)'}, "
                f"cannot be read: {type(error).__name__}: {error}.",
                advice="The journal is damaged, or another version wrote it; nothing was changed.",
            ) from error
        return event


def _converter() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook_func(
        lambda cls: isinstance(cls, type) and issubclass(cls, str) and not issubclass(cls, Enum) and cls is not str,
        lambda value, cls: cls(value),
    )
    converter.register_structure_hook(BundleId, lambda text, _: BundleId.parse(text))
    converter.register_unstructure_hook(BundleId, str)
    converter.register_unstructure_hook_factory(
        lambda cls: _is_origin(cls, AbstractSet), lambda _: lambda members: sorted(members)
    )
    converter.register_unstructure_hook_factory(
        lambda cls: _is_origin(cls, Mapping), lambda _: lambda mapping: _plain(converter, mapping)
    )
    converter.register_unstructure_hook_factory(_is_union, lambda union: _union_out(union, converter))
    converter.register_structure_hook_factory(_is_union, lambda union: _union_in(union, converter))
    return converter


def _is_origin(cls: Any, base: type) -> bool:
    origin = get_origin(cls) or cls
    return isinstance(origin, type) and issubclass(origin, base)


def _is_union(cls: Any) -> bool:
    return get_origin(cls) in (Union, types.UnionType)


def _plain(converter: Converter, mapping: Mapping[Any, Any]) -> Document:
    return {str(key): converter.unstructure(value) for key, value in mapping.items()}


def _union_out(_union: Any, converter: Converter) -> Callable[[Any], Any]:
    """Write a member of a union: our classes with their tag, everything else as it is."""

    def write(value: Any) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value.value if isinstance(value, Enum) else value
        cls = type(value)
        if attrs.has(cls) and cls is not BundleId:
            return {_TAG: cls.__name__, **converter.unstructure(value, unstructure_as=cls)}
        if isinstance(value, Mapping):
            return {_TAG: _MAPPING, "value": _plain(converter, value)}
        return converter.unstructure(value)

    return write


def _union_in(union: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Read a member of a union: by its tag where it has one, else by the one plain member that fits."""
    members = get_args(union)
    tagged = {member.__name__: member for member in members if attrs.has(member) and member is not BundleId}
    mapping = next((member for member in members if _is_origin(member, Mapping)), None)
    plain = [m for m in members if m is not type(None) and m is not mapping and m not in tagged.values()]
    exact = tuple(member for member in plain if member in (str, int, float, bool))
    named = [member for member in plain if member not in exact]

    def read(value: Any, _: Any) -> Any:
        if value is None and type(None) in members:
            return None
        if isinstance(value, dict):
            if value.get(_TAG) == _MAPPING and mapping is not None:
                return converter.structure(value["value"], mapping)
            return converter.structure(value, tagged[value[_TAG]])
        if exact and type(value) in exact:
            return value
        if len(named) == 1:
            return converter.structure(value, named[0])
        if float in exact and type(value) is int:
            return float(value)
        message = f"{value!r} is none of {union}"
        raise TypeError(message)

    return read
