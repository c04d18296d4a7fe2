"""Rollouts simulated before they are begun: the same seed the same story, and what the odds must come to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from rackwave.automation import Automation
from rackwave.core.event import Assigned, Bound
from rackwave.core.identity import AttemptId, BundleId, ComponentName
from rackwave.core.odds import Odds
from rackwave.core.policy import Policy
from rackwave.core.set_back import set_back
from rackwave.core.stand_in import Pace
from rackwave.errors import PlanRefusedError
from rackwave.simulation import Simulation
from rackwave_emulators.clock import LAB_EPOCH
from workplace import Workbench

A1 = BundleId.parse("A.1")
BIOS = ComponentName("BIOS")
INVENTORY = """
[defaults]
credentials = "env:LAB"

[[nodes]]
name = "r[1-3]n[1-4]"
bmc = "https://10.0.[1-3].[1-4]"
vendor = "Dell Inc."
model = "R760"
labels = { rack = "r{1}" }
"""
COUNT = 12
BUDGET = Policy(failure_budget=COUNT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an inventory, and a state directory in which A.1 is on record on every node."""
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "rackwave.toml").write_text(INVENTORY, "utf-8")
    Workbench(folder).make_bundles("A.1", "A.2")

    async def record() -> None:
        async with Automation(folder / "rackwave.toml", folder / ".rackwave") as automation:
            bundle = automation.bundle(A1)
            await automation.logbook.record(
                *(
                    Assigned(node.name, A1, bundle.digest, AttemptId("earlier"))
                    for node in automation.fleet.select(None)
                )
            )

    asyncio.run(record())
    return folder


def simulation(
    place: Path, *, policy: Policy | None = None, nodes: str | None = None, flash: float = 60.0, **odds: float
) -> Simulation:
    """Prepare a rollout of A.2 under *odds*, with a quick rack."""

    async def whole() -> Simulation:
        async with Automation(place / "rackwave.toml", place / ".rackwave", read_only=True) as automation:
            return await automation.simulation(
                "A.2",
                nodes,
                policy=policy,
                odds=Odds(**odds),
                pace=Pace(flash=flash, post=60.0, bmc_restart=90.0),
                start=LAB_EPOCH,
            )

    return asyncio.run(whole())


def contents(folder: Path) -> Mapping[str, bytes]:
    """Return every file below *folder*."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_tells_the_same_story(place: Path) -> None:
    """To the millisecond, in another simulation of the same; another seed tells another one."""
    odds = {"fail": 0.2, "die": 0.2, "trouble": 0.5}

    first = simulation(place, policy=BUDGET, **odds)
    outcomes = [first.run(seed) for seed in (1, 2, 3)]

    assert outcomes == [simulation(place, policy=BUDGET, **odds).run(seed) for seed in (1, 2, 3)]
    assert outcomes[1] == first.run(2)
    assert 3 == len({outcome.seconds for outcome in outcomes})


def test_where_nothing_goes_wrong_every_node_comes_to_the_new_bundle(place: Path) -> None:
    """Each is flashed once, and no more hosts are away than a wave has nodes."""
    ready = simulation(place)

    for seed in range(1, 6):
        outcome = ready.run(seed)

        assert ("done", COUNT, COUNT, 0) == (outcome.result, outcome.on_new, outcome.flashes, outcome.double_flashes)
        assert 1 <= outcome.most_away <= 6
        assert 3 * 110 < outcome.seconds < 3 * 300


def test_a_bundle_that_agrees_with_nobody_stops_at_the_canary(place: Path) -> None:
    """Nobody else is touched, the canary is back on its bundle, and nothing is flashed twice."""
    ready = simulation(place, fail=1.0)

    for seed in range(1, 9):
        outcome = ready.run(seed)

        assert ("stopped", 0, 0) == (outcome.result, outcome.wave, outcome.on_new)
        assert "the canary r1n1 is rolled-back" in outcome.reason
        assert (1, COUNT - 1) == (outcome.rolled_back, outcome.not_started)
        assert outcome.double_flashes == 0


def test_without_a_canary_a_bad_bundle_goes_as_far_as_the_budget(place: Path) -> None:
    """What a policy is worth can be tried: all nodes of one wave fail together."""
    outcome = simulation(place, policy=Policy(canary=0, waves=2, failure_budget=1), fail=1.0).run(1)

    assert ("stopped", 0, 6, 6) == (outcome.result, outcome.wave, outcome.rolled_back, outcome.not_started)


def test_hosts_that_die_by_themselves_are_recovered(place: Path) -> None:
    """Most come back, and are brought to the new bundle; nothing is flashed twice on the way."""
    ready = simulation(place, policy=BUDGET, die=1.0)
    outcomes = [ready.run(seed) for seed in range(1, 4)]

    assert all(outcome.double_flashes == 0 for outcome in outcomes)
    assert any(outcome.most_away > 6 or outcome.seconds > 900 for outcome in outcomes)
    assert sum(outcome.on_new for outcome in outcomes) > COUNT


def test_trouble_with_bmcs_costs_time(place: Path) -> None:
    """What passes by itself is waited for."""
    calm, rough = simulation(place, policy=BUDGET), simulation(place, policy=BUDGET, trouble=1.0)

    def slowest(ready: Simulation) -> float:
        return max(ready.run(seed).seconds for seed in (1, 2))

    assert slowest(calm) < slowest(rough)


def test_a_smaller_share_meets_some_of_those_that_a_larger_one_meets(place: Path) -> None:
    """What if 3 % fail, and what if 30 %: the answers can be compared, seed by seed."""

    def failed(share: float) -> int:
        return simulation(place, policy=Policy(canary=0, failure_budget=COUNT), fail=share).run(2).rolled_back

    assert 0 == failed(0.0) < failed(0.3) < failed(0.7) < failed(1.0) == COUNT


def test_nothing_is_written(place: Path) -> None:
    """Neither the journal nor anything else in the state directory changes."""
    before = contents(place)

    simulation(place, fail=0.5).run(1)

    assert before == contents(place)


def test_a_window_that_is_too_short_is_found_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that does not fit begins never: the rollout is given up after its days, and says for what it waits."""
    week = 8 * 86_400.0
    monkeypatch.setattr("rackwave.simulation.AT_MOST", week)  # instead of four: it takes a quarter as long
    narrow = simulation(place, nodes="r1n1,r1n2", policy=Policy(window="Sat 22:00-22:01 UTC"))

    outcome = narrow.run(1)

    assert ("unfinished", week) == (outcome.result, outcome.seconds)
    assert 1 == outcome.on_new + outcome.rolled_back + outcome.quarantined


def test_a_wave_is_watched_as_long_as_it_is_to_be(place: Path) -> None:
    """Nodes that wait are looked at seldom, and yet no wave begins late because of it."""
    plain, watched = (simulation(place, policy=Policy(soak=soak)).run(1).seconds for soak in (0.0, 700.0))

    assert 3 * 700.0 == pytest.approx(watched - plain, abs=10.0)


def test_many_waves_cost_a_node_no_more_looks(place: Path) -> None:
    """The longer the rollout, the more seldom is a node looked at that waits; with windows never so seldom."""
    short, long = simulation(place), simulation(place, policy=Policy(wave_most=1), flash=6000.0)
    with_windows = simulation(place, policy=Policy(wave_most=1, window="Sat 22:00-04:00 UTC"), flash=6000.0)

    assert any("every 300 s, not every 15 s" in each for each in short.forecast(()).assumptions)
    assert any("every 3075 s, not every 15 s" in each for each in long.forecast(()).assumptions)
    assert any("every 300 s, not every 15 s" in each for each in with_windows.forecast(()).assumptions)


def test_what_deploy_would_refuse_is_refused(place: Path) -> None:
    """A bundle for machines of another make, say, or one from which there is no way back."""
    (place / "other.toml").write_text(INVENTORY.replace("r[1-3]n[1-4]", "s[1-3]n[1-4]"), "utf-8")

    async def whole() -> None:
        async with Automation(place / "other.toml", place / ".rackwave", read_only=True) as automation:
            await automation.simulation("A.2")

    with pytest.raises(PlanRefusedError, match="12 of 12 nodes refuse"):
        asyncio.run(whole())


def test_a_component_that_was_set_back_is_so_on_the_machines_of_a_simulation(tmp_path: Path) -> None:
    """The same bundle again has nothing to do on them, and writes nothing."""
    (tmp_path / "rackwave.toml").write_text(INVENTORY, "utf-8")
    Workbench(tmp_path).make_bundles("A.1", "A.2")

    async def record() -> None:
        async with Automation(tmp_path / "rackwave.toml", tmp_path / ".rackwave") as automation:
            (node,) = automation.fleet.select("r1n1")
            for name in ("A.1", "A.2"):
                bundle = automation.bundle(BundleId.parse(name))
                await automation.logbook.record(Assigned(node.name, bundle.id, bundle.digest, AttemptId("earlier")))
            back = set_back(
                automation.logbook.node(node.name), A1.lineage, BIOS, load=automation.bundle, reason="hangs", by="ann"
            )
            assert isinstance(back, Bound)
            await automation.logbook.record(back)

    asyncio.run(record())
    ready = simulation(tmp_path, nodes="r1n1")
    outcome = ready.run(1)

    assert ready.plan.is_level
    assert ("done", 1, 0) == (outcome.result, outcome.on_new, outcome.flashes)
