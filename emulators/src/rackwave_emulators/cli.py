"""``rackwave lab``: start a rack of emulated BMCs, list what can go wrong, make images for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import click

from rackwave.errors import UsageError

from .clock import ScaledClock
from .control import catalogue, pathologies
from .faults import Fault
from .host_backend import no_guest
from .images import make_image
from .ipmi.application import manufacturer
from .ipmi.hpm_image import wrap_hpm
from .lab import Lab, Place
from .personality import Timing, load_personality, personalities, personality_as_dict
from .qemu.backend import guests_of_debian
from .qemu.seabios import write_image
from .record import Recording, credentials_of
from .record import record as record_tree
from .tree import find_tree, load_tree, write_tree
from .weather import Climate, forecast, let_loose

_SHARED = tuple(field.name for field in attrs.fields(Fault))
_ANY = "any"
_PARENT_CHECK = 1.0  # seconds between looks at whether the parent still lives


@click.group()
def lab() -> None:
    """A rack of emulated BMCs that behave, and misbehave, like real ones."""


@lab.command()
@click.option("--nodes", type=click.IntRange(1, 4000), default=12, show_default=True, help="How many BMCs.")
@click.option(
    "--personality",
    default="plain",
    show_default=True,
    help=f"What make they are: {', '.join(personalities())}, or a .toml file.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Lab seconds per second.",
)
@click.option("--update", type=click.FloatRange(min=0), help="Seconds that writing an image takes (lab time).")
@click.option("--reset", type=click.FloatRange(min=0), help="Seconds from a host reset to the end of POST (lab time).")
@click.option("--bmc-reset", type=click.FloatRange(min=0), help="Seconds that a restarting BMC is away (lab time).")
@click.option(
    "--latency", type=click.FloatRange(0, 60), default=0.0, show_default=True, help="Real seconds per request."
)
@click.option(
    "--slow",
    type=(click.IntRange(min=0), click.FloatRange(0, 60)),
    default=(0, 0.0),
    metavar="NODES SECONDS",
    help="The last so many nodes take so many real seconds per request instead.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where inventory, credentials and CA are written; default: a directory that goes with the lab.",
)
@click.option("--version", "versions", multiple=True, metavar="BIOS=1.0.0", help="What a component runs at the start.")
@click.option("--seed", type=int, default=0, show_default=True, help="Serial numbers and tokens follow from it.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Every BMC's port; 0: any free one.")
@click.option("--ipmi-port", type=click.IntRange(0, 65535), default=0, help="Every BMC's IPMI port; 0: any free one.")
@click.option("--no-ipmi", is_flag=True, help="Redfish only.")
@click.option("--guests", type=click.IntRange(min=0), default=0, help="How many of the hosts are real qemu guests.")
@click.option(
    "--guest-kit",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("guest-kit"),
    show_default=True,
    help="Where what guests are made of is kept; fetched by apt when it is not there.",
)
@click.option("--tree", metavar="NAME", help="Serve this recorded tree, read-only: a file, or one in RACKWAVE_TREES.")
@click.option("--plain-http", is_flag=True, help="No TLS.")
@click.option(
    "--weather",
    is_flag=False,
    flag_value=_ANY,
    metavar="[SEED]",
    help="Draw faults for the rack at random; the seed that is printed draws them again.",
)
@click.option(
    "--climate",
    type=click.Choice([climate.value for climate in Climate]),
    default=Climate.FAIR.value,
    show_default=True,
    help="fair: what goes wrong passes by itself; rough: not all of it does.",
)
@click.option("--with-parent", is_flag=True, help="End when standard input closes or the parent process dies.")
def up(
    nodes: int,
    personality: str,
    time_scale: float,
    update: float | None,
    reset: float | None,
    bmc_reset: float | None,
    latency: float,
    slow: tuple[int, float],
    directory: Path | None,
    versions: tuple[str, ...],
    seed: int,
    port: int,
    ipmi_port: int,
    no_ipmi: bool,
    guests: int,
    guest_kit: Path,
    tree: str | None,
    plain_http: bool,
    weather: str | None,
    climate: str,
    with_parent: bool,
) -> None:
    """Start a rack and keep it up until Ctrl-C."""
    if guests and time_scale != 1:
        raise UsageError("guests live in real time", advice="Leave --time-scale out; --update makes writing quicker.")
    make = load_personality(personality)
    names = [Place.of(index).name for index in range(min(guests, nodes))]
    timing = timing_of(make.timing, update=update, reset=reset, bmc_reset=bmc_reset)
    rack = Lab(
        nodes,
        personality=make,
        clock=ScaledClock(time_scale),
        timing=timing,
        versions=dict(_version(text) for text in versions),
        directory=directory,
        seed=seed,
        latency=latency,
        slow=slow,
        port=port,
        plain_http=plain_http,
        ipmi=not no_ipmi and tree is None,  # nothing of IPMI was recorded
        ipmi_port=ipmi_port,
        hosts=guests_of_debian(guest_kit, names) if names else no_guest,
        tree=load_tree(find_tree(tree)) if tree is not None else None,
    )
    if weather is not None:
        click.echo(f"{'weather':12} {_make_weather(rack, _weather_seed(weather), Climate(climate))}")
    _allow_many_files()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(rack, with_parent=with_parent))


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="All of it, with parameters and defaults.")
def faults(as_json: bool) -> None:
    """List what goes wrong with real BMCs (P01 to P50), and the faults that bring it about.

    Rows and faults are injected by their id through the control interface.
    """
    known = pathologies()
    named = {preset["fault"] for row in known for preset in row["faults"]}
    others = [fault for fault in catalogue() if fault["fault"] not in named]
    if as_json:
        click.echo(json.dumps({"pathologies": known, "faults": catalogue()}, indent=2))
        return
    for row in known:
        click.echo(f"{row['pathology']}  {row['label']:7}  {row['story']}")
        _echo_parameters(row["faults"])
    click.echo("")
    for fault in others:
        click.echo(f"     {fault['label']:7}  {fault['story']}")
        _echo_parameters([fault])
    click.echo("")
    click.echo(f"each also has {', '.join(_SHARED)}; --json tells every default")


def _echo_parameters(presets: list[dict[str, Any]]) -> None:
    for fault, parameters in _parameters(presets).items():
        click.echo(f"     {'':7}  {fault}: {', '.join(parameters) or 'no parameters of its own'}")


def _parameters(presets: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the parameters that each fault has of its own, with the values that the row gives them."""
    found: dict[str, dict[str, list[str]]] = {}
    for preset in presets:
        values = found.setdefault(preset["fault"], {})
        for name, value in preset["parameters"].items():
            text = json.dumps(value)
            if name not in _SHARED and text not in values.setdefault(name, []):
                values[name].append(text)
    return {
        fault: [f"{name}={'|'.join(texts)}" for name, texts in values.items() if texts]
        for fault, values in found.items()
    }


@lab.command(name="personalities")
@click.option("--json", "as_json", is_flag=True, help="With components, rules and the reason of each.")
def list_personalities(as_json: bool) -> None:
    """List the makes of BMC that a lab can be of."""
    known = personalities().values()
    if as_json:
        click.echo(json.dumps([personality_as_dict(personality) for personality in known], indent=2))
        return
    width = max(len(personality.name) for personality in known)
    for personality in known:
        click.echo(f"{personality.name:{width}}  {personality.story}")


@lab.command()
@click.argument("url")
@click.option("--credentials", required=True, metavar="REFERENCE", help="env:PREFIX or file:/path/credentials.toml.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .json or .json.gz.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A certificate to trust.")
@click.option("--insecure-http", is_flag=True, help="Allow http://, which shows the password to the network.")
@click.option("--most", type=click.IntRange(min=1), default=5000, show_default=True, help="Resources at the most.")
@click.option("--name", default="", help="What to call the recording; default: the BMC's product.")
def record(
    url: str, credentials: str, output: Path, ca: Path | None, insecure_http: bool, most: int, name: str
) -> None:
    """Record the Redfish tree of the BMC at URL, scrubbed of secrets, serial numbers, names and addresses.

    Only GETs are sent, beside a login and its end. 'lab up --tree' serves what was written.
    """
    what = Recording(url, credentials_of(credentials), ca=ca, insecure_http=insecure_http, most=most, name=name)
    tree = asyncio.run(record_tree(what))
    write_tree(output, tree)
    click.echo(f"{output}  {tree.name}  {len(tree.resources)} resources, {len(tree.meta['missing'])} could not be read")


@lab.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--component", default="BIOS", show_default=True, help="For which part it is.")
@click.option("--version", required=True, help="What the part reports once it runs.")
@click.option("--size", type=click.IntRange(min=1), default=1 << 16, show_default=True, help="Bytes.")
@click.option(
    "--seabios",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Debian's bios-256k.bin, to make one that a guest boots and that tells --version.",
)
@click.option("--hpm", is_flag=True, help="Put it into an HPM.1 file, for 'ipmitool hpm upgrade'.")
@click.option(
    "--personality", default="plain", show_default=True, help="With --hpm: the make of BMC that the file is for."
)
def image(
    path: Path, component: str, version: str, size: int, seabios: Path | None, hpm: bool, personality: str
) -> None:
    """Write a lab image to PATH: it verifies, as a signed one would, and needs no network."""
    if seabios is not None:
        facts = write_image(path, seabios, version=version)
    else:
        facts = make_image(path, component=component, version=version, size=size)
    if hpm:
        make = load_personality(personality)
        number = next((n for n, spec in enumerate(make.components) if spec.name == facts.component), None)
        if number is None:
            raise UsageError(f"{make.name} has no component {component!r}", advice="Name another with --component.")
        whole = wrap_hpm(path.read_bytes(), component=number, version=version, manufacturer=manufacturer(make.vendor))
        path.write_bytes(whole)
    click.echo(f"{path}  {facts.component} {facts.version}  {facts.size} bytes  {facts.digest}")


def timing_of(default: Timing, *, update: float | None, reset: float | None, bmc_reset: float | None) -> Timing:
    """Return *default* with what is given replaced; a shorter POST applies images proportionally sooner."""
    timing = default
    if update is not None:
        timing = attrs.evolve(timing, update=float(update))
    if reset is not None:
        apply = timing.apply * reset / timing.post if timing.post else 0.0
        timing = attrs.evolve(timing, post=float(reset), apply=float(apply))
    if bmc_reset is not None:
        timing = attrs.evolve(timing, bmc_reset=float(bmc_reset))
    return timing


def _weather_seed(text: str) -> int:
    if text == _ANY:
        return secrets.randbelow(1_000_000)
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text!r} is no seed", advice="Write a whole number, or nothing for any.") from None


def _make_weather(rack: Lab, seed: int, climate: Climate) -> str:
    gusts = forecast(seed, rack.urls, climate=climate)
    let_loose(gusts, lambda node, fault: rack[node].arm(fault))
    struck = len({gust.node for gust in gusts})
    return f"{climate}, seed {seed}: {len(gusts)} faults on {struck} of {len(rack.stations)} nodes"


def _version(text: str) -> tuple[str, str]:
    component, equals, version = text.partition("=")
    if not (component and equals and version):
        raise UsageError(f"{text!r} is no component and version", advice="Write for example BIOS=1.0.0.")
    return component, version


def _allow_many_files() -> None:
    """Raise the limit of open files as far as the system lets us: two for each BMC, and many start at 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(rack: Lab, *, with_parent: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with rack:
        for what, where in rack.places().items():
            click.echo(f"{what:12} {where}")
        click.echo(f"ready: {len(rack.stations)} BMCs")
        sys.stdout.flush()
        watch = asyncio.create_task(_follow_parent(stop)) if with_parent else None
        await stop.wait()
        if watch is not None:
            watch.cancel()


async def _follow_parent(stop: asyncio.Event) -> None:
    """Set *stop* when standard input ends or the parent is gone, whichever shows first."""
    loop = asyncio.get_running_loop()

    def read_to_end() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            loop.call_soon_threadsafe(stop.set)

    # A daemon thread of its own: a read that never returns must not keep the process from ending.
    threading.Thread(target=read_to_end, name="stdin", daemon=True).start()
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells that a parent died
        await asyncio.sleep(_PARENT_CHECK)
    stop.set()
