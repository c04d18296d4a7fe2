"""Setting trust by signed metadata up, and changing whose keys sign: what happens seldom, and with care."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen
from tuf.api.metadata import Key, Root, Targets

from ...core.canonical import canonical_json
from ...core.channel import first_channel
from ...core.identity import BundleId, Digest, Lineage
from ...errors import RackwaveError, TrustError, UsageError
from ..keys import PublicKey, is_encrypted, load_signer
from ..store import sync_folder, writing_to
from .author import Author, Change, Keyring
from .key_box import AskSecret, KeyBox, PlacedKey
from .memory import HOME, MAX_ROOT, Memory
from .roles import ONLINE, PROFILES, bundle_path, channel_path, lineage_of
from .shelf import FOLDER, Shelf
from .trust import PUBLISHER, MetadataTrust

ONLINE_KEY = "online"
KEY_FOLDER = "keys"


@frozen
class Published:
    """A bundle that was published before there was signed metadata, with its payload manifest."""

    id: BundleId
    digest: Digest
    payload: bytes
    is_current: bool


@frozen
class Setup:
    """What is wanted of ``init``: how long signatures hold, and where keys are that are in no file."""

    profile: str = "default"
    root_uris: tuple[str, ...] = ()
    root_keys: int = 1
    root_threshold: int = 1
    targets_uri: str | None = None
    online_uri: str | None = None


def init(
    state: Path,
    repository: Path,
    publisher: Path,
    setup: Setup,
    *,
    ask: AskSecret,
    published: Sequence[Published] = (),
    now: Callable[[], float] = time.time,
) -> KeyBox:
    """Make the keys that are missing, sign what is published, and trust the new root here.

    A run that was killed is simply run again: before the root is pinned nothing else has changed.

    Raises:
        TrustError: it is set up already, or a key cannot be used.
        UsageError: the profile or the threshold makes no sense.
    """
    memory = Memory(state / HOME)
    if (memory.home / "root.json").exists():
        raise TrustError("signed metadata is set up here already", advice="See 'rackwave trust status'.")
    if setup.profile not in PROFILES:
        raise UsageError(f"there is no profile {setup.profile!r}", advice=f"There are: {', '.join(PROFILES)}.")
    count = len(setup.root_uris) or setup.root_keys
    if not 1 <= setup.root_threshold <= count:
        raise UsageError(f"{setup.root_threshold} of {count} root keys cannot be asked for")
    box = evolve(KeyBox.load(state, _once(ask)), profile=setup.profile)
    root: list[PlacedKey] = []
    for place in range(count):
        name = "root" if count == 1 else f"root-{place + 1}"
        box, key = _key(box, name, setup.root_uris[place] if setup.root_uris else None, encrypted=True)
        root.append(key)
    box, targets = _key(box, Targets.type, setup.targets_uri, encrypted=True)
    box, online = _key(box, ONLINE_KEY, setup.online_uri, encrypted=False)
    box = _with_publisher(box, publisher)
    box.save()
    draft = repository / f".{FOLDER}-new"
    with writing_to(repository):
        shutil.rmtree(draft, ignore_errors=True)
        repository.mkdir(parents=True, exist_ok=True)
    if (repository / FOLDER).exists():
        raise TrustError(
            f"{repository / FOLDER} holds signed metadata that is not trusted here",
            advice="To believe it, 'rackwave trust adopt ROOT' with the publisher's root.json; else move it away.",
        )
    author = Author(draft, box, b"", now=now)
    pinned = author.create(
        Keyring(tuple(key.key for key in root), setup.root_threshold), Keyring((targets.key,)), Keyring((online.key,))
    )
    _sign_published(author, box, published)
    with writing_to(repository):
        draft.rename(repository / FOLDER)
        sync_folder(repository)
    memory.pin(pinned)
    return box


def adopt(state: Path, root: Path) -> Path:
    """Trust the repository whose root is in the file *root*: on machines that only deploy.

    Where another root of the same repository is trusted already, nothing changes.

    Raises:
        TrustError: it is no root, or another repository's is trusted here.
    """
    try:
        with root.open("rb") as file:
            data = file.read(MAX_ROOT)
    except OSError as error:
        raise TrustError(f"{root} cannot be read: {error.strerror}") from error
    Shelf.check_root(data)
    memory = Memory(state / HOME)
    if (memory.home / "root.json").exists() and memory.root() != data:
        raise TrustError(
            "another root is trusted here already",
            advice=f"If you mean to change whom you believe, move {memory.home} away first, and keep it.",
        )
    memory.pin(data)
    return memory.home


def delegate(trust: MetadataTrust, lineages: Sequence[Lineage], keys: Sequence[str], threshold: int) -> Keyring:
    """Say who may sign *lineages*: *keys* (ed25519, in hexadecimal), this machine's publisher where there are none.

    Raises:
        TrustError: the targets key is away, or a key is none.
        UsageError: more signatures are asked for than there are keys.
    """
    ours = [key.key for key in trust.box.keys if key.name == PUBLISHER]
    given: tuple[Key, ...] = (*(PublicKey(key).key() for key in keys),) or tuple(ours)
    if not 1 <= threshold <= len(given):
        raise UsageError(f"{threshold} of {len(given)} keys cannot be asked for", advice="Name more keys with --key.")
    keyring = Keyring(given, threshold)
    with trust.author.locked():
        trust.author.delegate(lineages, keyring)
    trust.client.refresh()
    return keyring


def rotate(trust: MetadataTrust, role: str, publisher: Path, *, uri: str | None = None) -> list[PlacedKey]:
    """Give *role* (``root``, ``targets``, ``online``, ``publisher``) new keys; return the old ones, which sign no more.

    Raises:
        TrustError: one of the keys that must sign is away.
        UsageError: there is no such role.
    """
    author, box = trust.author, trust.box
    if role == PUBLISHER:
        return _rotate_publisher(trust, publisher)
    names = {"root": (Root.type,), Targets.type: (Targets.type,), ONLINE_KEY: ONLINE}.get(role)
    if names is None:
        raise UsageError(f"there is no role {role!r}", advice="There are: root, targets, online, publisher.")
    with author.locked():
        before = author.shelf().root.signed.roles[names[0]]
        old = [key for keyid in before.keyids if (key := box.find(keyid)) is not None]
        new: list[PlacedKey] = []
        for place in range(len(before.keyids)):
            name = role if len(before.keyids) == 1 else f"{role}-{place + 1}"
            box, key = _key(box, name, uri, encrypted=role != ONLINE_KEY, fresh=True)
            new.append(key)
        box.save()  # the new keys are on record before anything is signed that needs them
        author.keys = box
        author.rotate(names, Keyring(tuple(key.key for key in new), before.threshold))
        _forget(trust, old)
    trust.client.refresh()
    return old


def _rotate_publisher(trust: MetadataTrust, publisher: Path) -> list[PlacedKey]:
    author, box = trust.author, trust.box
    old = [key for key in box.keys if key.name == PUBLISHER]
    fresh = publisher.with_name(f"{publisher.name}.new")
    there = _placed(box, publisher, "publisher's key")
    # A run that was killed may have let the key in fresh sign already, or put it into its place: it is gone on with.
    new = _placed(box, fresh, "new publisher's key")
    if new is None:
        fresh.unlink(missing_ok=True)  # torn: nothing can have been signed with it
        wants = publisher.exists() and is_encrypted(publisher)
        new = box.generate(PUBLISHER, fresh, password=box.ask("new publisher's key") if wants else None)
    with author.locked():
        shelf = author.shelf()
        delegations = shelf.role(Targets.type).signed.delegations
        gone = {key.id for key in (*old, *((there,) if there is not None else ()))}
        roles = (delegations.roles or {}) if delegations is not None else {}
        held = {name: role for name, role in roles.items() if not {*gone, new.id}.isdisjoint(role.keyids)}
        author.keys = box.with_key(new)
        for name, role in held.items():
            lineage = lineage_of(name)
            assert delegations is not None and lineage is not None  # noqa: S101, PT018 - these are lineages' roles
            kept = tuple(delegations.keys[keyid] for keyid in role.keyids if keyid not in (*gone, new.id))
            author.delegate([lineage], Keyring((*kept, new.key), role.threshold))
        if publisher.exists():
            retired = publisher.with_name(f"{publisher.stem}-{old[0].id[:8] if old else 'old'}.pem")
            publisher.rename(retired)
            old = [evolve(key, where=f"file:{retired.name}") for key in old]
        fresh.rename(publisher)
        author.keys = author.keys.with_key(box.place_file(PUBLISHER, publisher, new.key))
        _forget(trust, old)
    trust.client.refresh()
    return old


def _placed(box: KeyBox, path: Path, what: str) -> PlacedKey | None:
    """Return the publisher's key in the file *path*; None where there is none, or none that can be read."""
    try:
        password = box.ask(what) if is_encrypted(path) else None
        return box.place_file(PUBLISHER, path, load_signer(path, password=password).signer.public_key)
    except (OSError, RackwaveError):
        return None


def _forget(trust: MetadataTrust, old: Sequence[PlacedKey]) -> None:
    trust.author.keys = trust.author.keys.without(key.id for key in old)
    trust.box = trust.author.keys
    trust.box.save()


def _sign_published(author: Author, box: KeyBox, published: Sequence[Published]) -> None:
    lineages = sorted({each.id.lineage for each in published})
    if not lineages:
        return
    key = next(key for key in box.keys if key.name == PUBLISHER)
    author.delegate(lineages, Keyring((key.key,)))
    for lineage in lineages:
        mine = sorted((each for each in published if each.id.lineage == lineage), key=lambda each: each.id.seq)
        channel = None
        for each in sorted(mine, key=lambda each: each.is_current):
            channel = (
                first_channel(each.id, each.digest, reason="")
                if channel is None
                else channel.published(each.id, each.digest, reason="published before there was signed metadata")
            )
        assert channel is not None  # noqa: S101 - every lineage here has a bundle
        add: Mapping[str, bytes] = {bundle_path(each.id): each.payload for each in mine}
        author.change(lineage, Change({**add, channel_path(lineage): canonical_json(channel.document())}))


def _key(box: KeyBox, name: str, uri: str | None, *, encrypted: bool, fresh: bool = False) -> tuple[KeyBox, PlacedKey]:
    """Return the key called *name*, made now unless a killed run left one or it is looked up by its URI."""
    known = next((key for key in box.keys if key.name == name), None)
    if uri is not None:
        key = box.import_uri(name, uri)
    elif known is not None and not fresh and (path := box.path(known)) is not None and path.exists():
        return box, known
    else:
        password = box.ask(f"{name} key") if encrypted else None
        key = box.generate(name, _free(box.state / KEY_FOLDER / f"{name}.pem"), password=password)
    return box.with_key(key), key


def _with_publisher(box: KeyBox, publisher: Path) -> KeyBox:
    if any(key.name == PUBLISHER for key in box.keys) and publisher.exists():
        return box
    if not publisher.exists():
        return box.with_key(box.generate(PUBLISHER, publisher, password=None))
    password = box.ask("publisher's key") if is_encrypted(publisher) else None
    signer = load_signer(publisher, password=password).signer
    return box.with_key(box.place_file(PUBLISHER, publisher, signer.public_key))


def _free(path: Path) -> Path:
    place, number = path, 1
    while place.exists():
        number += 1
        place = path.with_name(f"{path.stem}-{number}.pem")
    return place


def _once(ask: AskSecret) -> AskSecret:
    """Ask for one passphrase, once, for all the keys that are made together; a PIN is asked for by itself."""
    known: dict[str, bytes] = {}

    def asked(what: str) -> bytes:
        place = what if "pin" in what else ""
        if place not in known:
            known[place] = ask("root and targets keys" if not place else what)
        return known[place]

    return asked
