"""The options by which a rollout is asked for, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from attrs import frozen

from ..automation import Automation
from ..core.policy import APPROVALS
from ..core.report import RackPlan, RolloutReport
from ..core.way_back import Consent
from ..together import RunReport

F = TypeVar("F", bound=Callable[..., Any])


def policy_options(command: F) -> F:
    """Give *command* the options that change the inventory's policy for this once."""
    for option in (
        click.option("--canary", type=click.IntRange(0), help="Nodes in the first wave, alone."),
        click.option("--waves", type=click.IntRange(1), help="Waves after the canary."),
        click.option("--failure-budget", type=click.IntRange(0), help="Failed nodes before the rollout stops."),
        click.option("--wave-most", type=click.IntRange(0), help="Nodes of one wave, at most: so many can be away."),
        click.option("--domain", metavar="LABELS", help="Labels that name failure domains: rack,power."),
        click.option("--domain-most", type=click.IntRange(1), help="Nodes of one failure domain in one wave."),
        click.option("--soak", type=click.FloatRange(0), help="Seconds for which a wave is watched before the next."),
        click.option("--approval", type=click.Choice(APPROVALS), help="Before which waves a person is asked."),
        click.option("--window", metavar="TEXT", help="When work may begin: 'Sat 22:00-04:00 Europe/Berlin'."),
        click.option("--first", metavar="LABELS", help="Nodes that go ahead, by label: tier=test,tier=staging."),
        click.option("--enforce-by", metavar="DATE", help="From then on no scheduler or window keeps a node waiting."),
        click.option(
            "--no-way-back",
            multiple=True,
            metavar="ELEMENT",
            help="Consent to write this element although there is no way back from it; all: every one.",
        ),
    ):
        command = option(command)
    return command


def detailed_option(command: F) -> F:
    """Give *command* the flag ``--detailed-exit-code``."""
    return click.option("--detailed-exit-code", is_flag=True, help="Exit with 3 where nothing was to do.")(command)


@frozen
class Asked:
    """What the options of ``plan``, ``deploy`` and ``simulate`` say."""

    overrides: Mapping[str, Any]
    no_way_back: Consent
    detailed_exit_code: bool

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """Read them from what click gives."""
        told = dict(options)
        elements, detailed = told.pop("no_way_back"), told.pop("detailed_exit_code", False)
        return cls(told, True if "all" in elements else elements, detailed)

    async def plan(self, automation: Automation, bundle: str, nodes: str | None) -> RackPlan:
        """Plan as they say."""
        policy = automation.policy(**self.overrides)
        return await automation.plan(bundle, nodes, policy=policy, no_way_back=self.no_way_back)

    async def deploy(self, automation: Automation, bundle: str, nodes: str | None) -> RolloutReport:
        """Deploy as they say."""
        policy = automation.policy(**self.overrides)
        return await automation.deploy(bundle, nodes, policy=policy, no_way_back=self.no_way_back)

    async def deploy_together(self, automation: Automation, bundles: Sequence[str], nodes: str | None) -> RunReport:
        """Deploy several as they say."""
        policy = automation.policy(**self.overrides)
        return await automation.deploy_together(bundles, nodes, policy=policy, no_way_back=self.no_way_back)
