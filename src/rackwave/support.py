"""What a person hands on when something is wrong with a node, and the look over a BMC that it begins with."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .automation import Automation
from .core.capability import Survey
from .core.identity import NodeName
from .core.observation import Look, Unknown
from .core.redact import redacted
from .core.report import timestamp
from .core.story import tell
from .errors import RackwaveError, SecretError, StateError, UsageError
from .planning import each

_PACKAGES = ("rackwave", "aiohttp", "redfish", "sushy", "python-ipmi", "attrs", "cryptography")

_LOG_ENTRIES = 500


async def survey_all(automation: Automation, nodes: str) -> list[tuple[NodeName, Survey | RackwaveError]]:
    """Look over the BMCs of *nodes*; what went wrong with one stands in its place."""

    async def one(node: NodeName) -> tuple[NodeName, Survey | RackwaveError]:
        try:
            bmc = await automation.fleet.redfish(node)
            return node, await bmc.surveyor.survey()
        except RackwaveError as error:
            return node, error
        finally:
            await automation.fleet.release(node)

    return await each(one, [node.name for node in automation.fleet.select(nodes)])


async def collect(automation: Automation, node: str, output: Path | None) -> tuple[Path, list[str]]:
    """Write what is known of *node* to *output* (a .tar.gz), and say what could not be had.

    Raises:
        UsageError: *node* is not one node, or the file exists.
        StateError: the file cannot be written.
    """
    chosen = automation.fleet.select(node)
    if len(chosen) != 1:
        raise UsageError(f"{node!r} stands for {len(chosen)} nodes", advice="Collect one at a time.")
    name = chosen[0].name
    path = output or Path(f"{name}-support.tar.gz")
    missing: list[str] = []
    parts: dict[str, Any] = {
        "versions.json": {
            "python": sys.version,
            "platform": platform.platform(),
            **{package: version(package) for package in _PACKAGES},
        }
    }

    async def add(part: str, read: Callable[[], Awaitable[Any]]) -> None:
        try:
            parts[part] = await read()
        except RackwaveError as error:
            missing.append(f"{part}: {error}")

    await add("inventory.json", lambda: _inventory(automation, name))
    await add("status.json", lambda: _status(automation, name))
    await add("history.json", lambda: _history(automation, name))
    await add("inspect.json", lambda: _inspect(automation, name))
    await add("observation.json", lambda: _observation(automation, name))
    await add("log.json", lambda: _log(automation, name))
    await add("redfish.json", lambda: _documents(automation, name))
    await automation.fleet.release(name)
    parts["missing.json"] = missing
    secrets = _secrets(automation, name)
    _write(path, str(name), {part: redacted(value, secrets) for part, value in parts.items()}, secrets)
    return path, missing


async def _inventory(automation: Automation, node: NodeName) -> Any:
    managed = automation.fleet.managed(node)
    return {
        "node": str(node),
        "bmc": managed.bmc_url,
        "vendor": managed.node.vendor,
        "model": managed.node.model,
        "labels": dict(managed.node.labels),
    }


async def _status(automation: Automation, node: NodeName) -> Any:
    return [status.document() for status in await automation.status(str(node))]


async def _history(automation: Automation, node: NodeName) -> Any:
    return [
        {"number": each.number, "at": timestamp(each.at), "event": type(each.event).__name__, "text": tell(each.event)}
        for each in automation.history(str(node))
    ]


async def _inspect(automation: Automation, node: NodeName) -> Any:
    return (await (await automation.fleet.redfish(node)).surveyor.survey()).document()


async def _observation(automation: Automation, node: NodeName) -> Any:
    look = Look(bmc=True, settings=True, tasks=True)
    seen = await (await automation.fleet.get(node)).observe(look)
    return {name: _plain(getattr(seen, name)) for name in ("power", "post", "health", "os", "boot", "bmc_boot")} | {
        "settings": _plain(seen.settings),
        "staged_settings": _plain(seen.staged_settings),
        "tasks": _plain(seen.tasks),
    }


async def _log(automation: Automation, node: NodeName) -> Any:
    bmc = await automation.fleet.redfish(node)
    return _plain(await bmc.panel.log(None, limit=_LOG_ENTRIES))


async def _documents(automation: Automation, node: NodeName) -> Any:
    """The resources that decisions rest on, as the BMC tells them."""
    service = (await automation.fleet.redfish(node)).service
    found: dict[str, Any] = {}
    for read in (service.root, service.system, service.manager, service.update_service):
        try:
            document = await read()
            found[str(document.get("@odata.id"))] = dict(document)
        except RackwaveError as error:
            found[read.__name__] = f"could not be read: {error}"
    return found


def _plain(value: Any) -> Any:
    """*value* as JSON values: what is Unknown says so in words."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    return json.loads(json.dumps(value, default=_words))


def _words(value: Any) -> Any:
    if hasattr(value, "__attrs_attrs__"):
        return {attribute.name: getattr(value, attribute.name) for attribute in value.__attrs_attrs__}
    return dict(value) if hasattr(value, "keys") else str(value)


def _secrets(automation: Automation, node: NodeName) -> tuple[str, ...]:
    try:
        return (automation.fleet.credentials(node).password,)
    except SecretError:
        return ()


def _write(path: Path, folder: str, parts: dict[str, Any], secrets: tuple[str, ...]) -> None:
    texts = {name: json.dumps(value, indent=2, ensure_ascii=False, default=str) for name, value in parts.items()}
    if any(secret in text for text in texts.values() for secret in secrets):
        raise StateError("a secret would be in the file; nothing was written", advice="Please report this.")
    try:
        with path.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in sorted(texts.items()):
                data = text.encode("utf-8", "backslashreplace")
                entry = tarfile.TarInfo(f"{folder}-support/{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    except FileExistsError:
        raise UsageError(f"{path} is there already", advice="Name another with --output.") from None
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", advice="Name another with --output."
        ) from error
