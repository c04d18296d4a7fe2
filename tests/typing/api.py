"""The public API from its user's side; mypy --strict proves that it can be used as shown. Never run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rackwave
from rackwave import (
    Automation,
    BundleId,
    CentralAutomationSystem,
    Drift,
    Forecast,
    LiveNode,
    Look,
    NodeError,
    NodeName,
    NodeStatus,
    Observation,
    Odds,
    Pace,
    PlanRefusedError,
    Policy,
    RackPlan,
    RackwaveError,
    Recorded,
    RolloutReport,
)


def the_whole_job() -> int:
    """Build, publish, plan, deploy, look."""
    with CentralAutomationSystem("rackwave.toml", state=Path("state")) as cas:
        built: BundleId = cas.build("sources/A.2", Path("build") / "A.2")
        publication = cas.publish("build/A.2", reason="CVE-2026-1234")
        archived: BundleId | None = publication.archived
        plan: RackPlan = cas.plan(str(built), nodes="rack=r1", policy=Policy(canary=2))
        for node, reason in plan.refusals:
            print(f"{node}: {reason}", archived)  # noqa: T201 - a user's script
        if plan.nothing_to_do:
            return 0
        forecast: Forecast = cas.simulate(str(built), seeds=range(1, 5), odds=Odds(fail=0.03), pace=Pace(post=240.0))
        if len(forecast.done) < 4:
            return len(forecast.not_done)
        report: RolloutReport = cas.deploy("A.2", "rack=r1", no_way_back=("bios",))
        failed: tuple[NodeName, ...] = report.rolled_back + report.quarantined
        return len(failed)


def mending(cas: CentralAutomationSystem) -> tuple[NodeStatus, ...]:
    """Go back, recover, go on."""
    cas.rollback("r1n01", "A")
    cas.rollback("r1n01", "A", component="BIOS", reason="it hangs")
    cas.bring_forward("r1n01", "A", "BIOS")
    cas.rollback_rollout("7c1f", wave=1, at_once=True)
    cas.abort("7c1f", "it hangs", roll_back=True)
    cas.resume()
    return cas.recover(None, "A", ladder="prior-at-once")


def looking(cas: CentralAutomationSystem) -> list[str]:
    """Read states, history and a live node."""
    states = [f"{status.history.node} {status.state}" for status in cas.status(look=True)]
    published = [str(entry.id) for entry in cas.bundles()]
    node: LiveNode = cas.node("r1n01")
    seen: Observation = node.observe(Look(system=True))
    return [*states, *published, str(seen.power)]


def comparing(cas: CentralAutomationSystem) -> dict[NodeName, list[Drift]]:
    """Find the nodes that are not as they are meant."""
    return {
        status.history.node: [drift for drift in status.drift.values() if drift.state == "drifted"]
        for status in cas.status(look=True)
    }


def watching(cas: CentralAutomationSystem) -> None:
    """Follow events."""

    def tell(recorded: Recorded) -> None:
        print(recorded.number, recorded.at, type(recorded.event).__name__)  # noqa: T201 - a user's script

    cas.subscribe(tell)


def catching(cas: CentralAutomationSystem) -> str:
    """Handle errors by who must act."""
    try:
        cas.deploy("A.2")
    except PlanRefusedError as error:
        return "; ".join(error.reasons)
    except NodeError as error:
        return f"{error.node}: {error} {error.advice}"
    except rackwave.errors.LeaseError as error:
        return str(error)
    except RackwaveError as error:
        return error.advice
    return ""


async def in_async_code() -> int:
    """The same, awaited."""
    async with Automation(Path("rackwave.toml"), Path(".rackwave")) as automation:
        plan: RackPlan = await automation.plan(BundleId.parse("A.2"), "r1n[01-16]")
        report: RolloutReport = await automation.deploy(plan.bundle)
        return len(report.on_new)


if __name__ == "__main__":
    asyncio.run(in_async_code())
