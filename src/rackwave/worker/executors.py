"""How each kind of step becomes one call of the BMC. A plan that needs a choice here was too vague."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from attrs import evolve, frozen

from ..core.bundle import Bundle
from ..core.identity import AttemptId
from ..core.receipt import Receipt
from ..core.step import ResetBmc, ResetHost, StageSettings, StartUpdate, Step, SwitchBank, WriteImage
from ..ports import Bmc, Completing, Image, ImageServer

PayloadPath = Callable[[Bundle, str], Path]
"""Returns where a payload of a bundle lies, after its bytes were verified."""


@frozen
class Prepared:
    """A step that is ready to be sent; *image* is set for writes."""

    step: Step
    image: Image | None = None


async def prepare(
    step: Step,
    *,
    bmc: Bmc,
    bundle: Bundle,
    attempt: AttemptId,
    payload_path: PayloadPath,
    images: ImageServer,
    force: bool = False,
) -> Prepared:
    """Do all that can fail harmlessly before the intent is journalled: verify the image, grant its URL.

    *force*: it is to be written whatever the BMC's own policy on versions.

    Raises:
        BundleError: the payload is missing or not what its digest says.
    """
    if not isinstance(step, WriteImage):
        return Prepared(step)
    # In a thread: the first node of a rollout hashes the whole image.
    path = await asyncio.to_thread(payload_path, bundle, step.payload)
    # The attempt's id is in the upload's name as it is in the URL, so that a task that names the
    # image can be tied to the attempt that sent it.
    image = Image(
        component=step.component,
        version=step.version,
        digest=step.digest,
        size=step.size,
        path=path,
        file_name=f"attempt-{attempt}-{step.payload}",
        activation=step.activation,
        force=force,
    )
    url = await images.grant(node=bmc.node, attempt=attempt, digest=step.digest, path=path, file_name=step.payload)
    return Prepared(step, evolve(image, url=url))


async def execute(prepared: Prepared, *, bmc: Bmc, completing: Completing) -> Receipt:
    """Send the step to the BMC, once."""
    step = prepared.step
    match step:
        case WriteImage():
            assert prepared.image is not None  # noqa: S101 - prepare() made it; told to the type checker
            return await bmc.write(prepared.image, completing=completing)
        case SwitchBank():
            return await bmc.switch_bank(step.component, step.version, activation=step.activation)
        case StartUpdate():
            return await bmc.start_update(step.component)
        case StageSettings():
            return await bmc.configure(step.attributes)
        case ResetHost():
            return await bmc.reset_host(step.kind)
        case ResetBmc():
            return await bmc.reset_bmc(step.means)
        case _:
            assert_never(step)
