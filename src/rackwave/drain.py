"""Is somebody's work on the node? A drain hook asks the scheduler; what it cannot say counts as busy.

[drain]                                      # in the inventory
hook = "slurm"                               # or "kubernetes"
name = "{node}.cluster"                      # what the scheduler calls the node; default "{node}"

[drain]
command = ["/usr/local/bin/is-busy", "{name}"]   # exit 0: free, 1: busy (its first line says with what), else: unknown
timeout = 10                                 # seconds
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from .core.identity import NodeName
from .errors import HookError
from .hooks import Ran, filled, run_hook
from .ports import Clock

KEPT = 10.0
"""Seconds for which an answer is believed: a node that waits is asked once a turn, and a scheduler's
controller must not be asked by a hundred nodes at once."""


@frozen
class DrainConfig:
    """The table ``[drain]``. Exactly one of *hook* and *command* is given; neither: nobody is asked."""

    hook: str = ""
    command: tuple[str, ...] = field(default=(), converter=tuple)
    name: str = "{node}"
    timeout: float = 10.0

    @property
    def program(self) -> str:
        """The program that is run; empty where nobody is asked."""
        words = SCHEDULERS[self.hook].command if self.hook else self.command
        return words[0] if words else ""


def _by_exit_code(ran: Ran) -> str | None:
    if ran.code == 0:
        return None
    if ran.code == 1:
        return ran.words or "busy"
    raise HookError(f"exit code {ran.code}: {ran.words or 'nothing said'}")


def _jobs_of_slurm(ran: Ran) -> str | None:
    """``squeue`` prints a line a job; none: the node is free."""
    if ran.code != 0:
        raise HookError(ran.words or f"squeue ended with {ran.code}")
    jobs = ran.output.split("\n")
    named = [job.strip() for job in jobs if job.strip()]
    return f"jobs {', '.join(named[:4])}{' …' if len(named) > 4 else ''}" if named else None


def _pods_of_kubernetes(ran: Ran) -> str | None:
    """Pods that run, those aside that every node has for ever (of DaemonSets, and static ones)."""
    if ran.code != 0:
        raise HookError(ran.words or f"kubectl ended with {ran.code}")
    try:
        items = json.loads(ran.output)["items"]
        busy = [_pod_name(item) for item in items if _is_work(item)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HookError("kubectl printed no list of pods") from error
    return f"pods {', '.join(busy[:4])}{' …' if len(busy) > 4 else ''}" if busy else None


def _pod_name(item: Mapping[str, Any]) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _is_work(item: Mapping[str, Any]) -> bool:
    owners = {owner.get("kind") for owner in item["metadata"].get("ownerReferences", ())}
    ended = item.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and not owners & {"DaemonSet", "Node"}


@frozen
class _Scheduler:
    """What is run for one node, and how its answer is read: what keeps the node busy, None where nothing does."""

    command: tuple[str, ...]
    read: Callable[[Ran], str | None]


SCHEDULERS: Mapping[str, _Scheduler] = {
    "slurm": _Scheduler(
        (
            "squeue",
            "--noheader",
            "--nodelist={name}",
            "--states=CONFIGURING,RUNNING,COMPLETING,SUSPENDED,STOPPED",
            "--format=%A",
        ),
        _jobs_of_slurm,
    ),
    "kubernetes": _Scheduler(
        ("kubectl", "get", "pods", "--all-namespaces", "--field-selector=spec.nodeName={name}", "--output=json"),
        _pods_of_kubernetes,
    ),
}


class DrainHook:
    """Asks whether a node is busy."""

    def __init__(self, config: DrainConfig, *, clock: Clock, labels: Callable[[NodeName], Mapping[str, str]]) -> None:
        self._config = config
        self._clock = clock
        self._labels = labels
        self._scheduler = SCHEDULERS[config.hook] if config.hook else _Scheduler(config.command, _by_exit_code)
        self._told: dict[NodeName, tuple[float, str | None]] = {}

    async def busy(self, node: NodeName) -> str | None:
        """Return what keeps *node* busy, None where it is free. What could not be asked counts as busy."""
        known = self._told.get(node)
        if known is not None and self._clock.monotonic() - known[0] < KEPT:
            return known[1]
        values = {"node": str(node), **{f"labels.{name}": value for name, value in self._labels(node).items()}}
        name = filled([self._config.name], values)[0]
        try:
            ran = await run_hook(
                filled(self._scheduler.command, {**values, "name": name}), timeout=self._config.timeout
            )
            found = self._scheduler.read(ran)
            why = None if found is None else f"busy with {found}"
        except HookError as error:
            why = f"nobody knows whether it is busy: {error}"
        self._told[node] = (self._clock.monotonic(), why)
        return why
