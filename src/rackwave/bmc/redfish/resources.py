"""Where things are on one service: found once, kept, and forgotten when the service has moved them.

Nothing is guessed from a vendor's habits: every URI comes from a link. What is kept is URIs and the
UpdateService, which describes what the service can do; states are read anew each time.
"""

from __future__ import annotations

from ...core.identity import ComponentName
from ...errors import BmcAnswerError, BmcRefusedError
from ..quirks import PostWitness, Quirks, Roster, load_roster
from .answer import Answer
from .document import Document, dig, items, link, text, uri_path
from .habits import Habits
from .inventory import FirmwareInventory, last
from .make import Make
from .power import allowed_by_info, allowed_values
from .session import Session

_PAGES = 64
_MEMBERS = 4096


class Service:
    """The resources of one BMC, and which of its systems is the node."""

    def __init__(
        self,
        session: Session,
        system: str | None = None,
        roster: Roster | None = None,
        habits: Habits | None = None,
    ) -> None:
        self._session = session
        self._named = system
        self._roster = load_roster() if roster is None else roster
        self.habits = Habits() if habits is None else habits
        self.forget()

    @property
    def node(self) -> str:
        """Whose BMC it is, for messages."""
        return self._session.node

    def forget(self) -> None:
        """Find everything anew: the BMC may run another firmware now."""
        self.make = Make(self._roster)
        self._root: Document | None = None
        self._system: str | None = None
        self._system_document: Document | None = None
        self._manager: str | None = None
        self._update: Document | None = None
        self.inventory = FirmwareInventory(
            self._session,
            listing=self._listed,
            known=lambda: self.make.selection.quirks,
            names=lambda: self.quirks("components"),
            shows_staged=self._shows_staged,
        )
        self._tasks: str | None = None
        self._post_action: str | None = None

    async def root(self) -> Document:
        """The service root."""
        if self._root is None:
            self._root = (await self._session.root()).document
            self._session.collection = link(self._root, "Links", "Sessions") or self._session.collection
            self.make.note_root(self._root)
        return self._root

    async def quirks(self, *keys: str) -> Quirks:
        """What is different about this BMC, as far as it concerns *keys* of `Quirks`; none given: all.

        Costs a request only where a record that sets one of them may fit, and system or manager decide.
        """
        await self.root()
        if self.make.missing(keys) & {"vendor", "model"}:
            await self.system()
        if self.make.missing(keys) & {"manager", "firmware"}:
            await self.manager()
        return self.make.selection.quirks

    async def get(self, uri: str) -> Answer:
        """Read one of the URIs that this object has handed out; forget them all when it is gone."""
        try:
            return await self._session.get(uri)
        except BmcRefusedError as error:
            if error.status in (404, 410):
                self.forget()
            raise

    async def members(self, uri: str) -> tuple[str, ...]:
        """The members of a collection, over all its pages (P47).

        Raises:
            BmcAnswerError: the pages have no end.
        """
        found: dict[str, None] = {}
        page: str | None = uri
        visited: set[str] = set()
        while page is not None:
            if page in visited or len(visited) >= _PAGES or len(found) > _MEMBERS:
                raise BmcAnswerError(f"{self._session.node}: the pages of {uri} have no end", node=self._session.node)
            visited.add(page)
            document = (await self.get(page)).document
            found.update((member, None) for item in items(document, "Members") if (member := link(item)) is not None)
            page = uri_path(document.get("Members@odata.nextLink"))
        return tuple(found)

    async def system_uri(self) -> str:
        """The ComputerSystem that is the node.

        The only one; or the one that was named; or the only one that can be reset: a GB200 lists its
        GPU baseboard as a system, too.

        Raises:
            BmcAnswerError: there is none, or more than one; the advice is to name it.
        """
        if self._system is None:
            uris = await self.members(await self._linked("Systems"))
            if self._named is not None:
                uris = tuple(uri for uri in uris if last(uri) == self._named)
            elif len(uris) > 1:
                uris = tuple([uri for uri in uris if await self._can_be_reset(uri)])
            if len(uris) != 1:
                what = f"no system {self._named}" if self._named else f"{len(uris)} systems that can be reset, not one"
                raise BmcAnswerError(
                    f"{self._session.node}: the BMC has {what}",
                    node=self._session.node,
                    advice="Name the node's system by its Id.",
                )
            self._system = uris[0]
        return self._system

    async def system(self) -> Document:
        """Read the node's ComputerSystem."""
        document = (await self.get(await self.system_uri())).document
        self._system_document = document
        self.make.note_system(document)
        if self._manager is None:
            managers = [link(item) for item in items(document, "Links", "ManagedBy")]
            if len(managers) == 1:
                self._manager = managers[0]
        return document

    async def known_system(self) -> Document:
        """The ComputerSystem as it was last read: its links and actions stay where they are."""
        return self._system_document if self._system_document is not None else await self.system()

    async def reset_action(self) -> tuple[str, tuple[str, ...] | None] | None:
        """Where the system is reset, and the ResetTypes it allows (None: not told); None where it has no reset.

        From the system as last read: an action does not move while the URI of its resource stands.
        """
        document = await self.known_system()
        return await self.action(document, "#ComputerSystem.Reset", "ResetType")

    async def action(self, document: Document, name: str, parameter: str) -> tuple[str, tuple[str, ...] | None] | None:
        """The target of an action of *document* and what it allows for *parameter*, by annotation or ActionInfo."""
        found = dig(document, "Actions", name)
        target = uri_path(text(found, "target"))
        if not isinstance(found, dict) or target is None:
            return None
        allowed = allowed_values(found, parameter)
        info = uri_path(text(found, "@Redfish.ActionInfo"))
        if allowed is None and info is not None:
            allowed = allowed_by_info((await self.get(info)).document, parameter)
        return target, allowed

    async def manager_uri(self) -> str:
        """The Manager that serves this: as the root says, else the system's only one, else the first of all."""
        if self._manager is None:
            self._manager = link(await self.root(), "Links", "ManagerProvidingService")
        if self._manager is None:
            uris = await self.members(await self._linked("Managers"))
            if not uris:
                raise BmcAnswerError(f"{self._session.node}: the BMC lists no manager", node=self._session.node)
            self._manager = uris[0]
        return self._manager

    async def manager(self) -> Document:
        """Read the Manager."""
        document = (await self.get(await self.manager_uri())).document
        self.make.note_manager(document)
        return document

    async def update_service(self, *, fresh: bool = False) -> Document:
        """The UpdateService, read once: it says what the service can do, which does not change under us.

        *fresh*: read it anew, for what changes all the same (who claims it, how far an update is).
        """
        if self._update is None or fresh:
            self._update = (await self.get(await self.update_service_uri())).document
        return self._update

    async def update_service_uri(self) -> str:
        """Where the UpdateService is."""
        return await self._linked("UpdateService")

    def _shows_staged(self, name: ComponentName, *, shown: bool | None = None) -> bool | None:
        if shown is not None:
            self.habits.learn(self.make, name, shows_staged=shown)
        return self.habits.shows_staged(self.make, name)

    async def ask_post(self, witness: PostWitness) -> Document:
        """Ask by the action that *witness* names how far POST is; it changes nothing.

        Raises:
            BmcAnswerError: the manager links to no such service, or that one has no such action.
            BmcRefusedError: the action was refused.
        """
        if self._post_action is None:
            uri = link(await self.manager(), *witness.service.split("."))
            document: Document = {} if uri is None else (await self.get(uri)).document
            self._post_action = uri_path(dig(document, "Actions", witness.action, "target"))
        if self._post_action is None:
            raise BmcAnswerError(
                f"{self._session.node}: the manager's {witness.service} has no {witness.action}",
                node=self._session.node,
            )
        return (await self._session.ask(self._post_action)).document

    async def jobs_uri(self) -> str | None:
        """The collection of jobs; None where there is no JobService."""
        uri = link(await self.root(), "JobService")
        return None if uri is None else link((await self.get(uri)).document, "Jobs")

    async def tasks_uri(self) -> str | None:
        """The collection of tasks; None where there is no TaskService."""
        if self._tasks is None:
            uri = link(await self.root(), "Tasks")
            self._tasks = None if uri is None else link((await self.get(uri)).document, "Tasks")
        return self._tasks

    async def _listed(self) -> tuple[str, ...]:
        uri = link(await self.update_service(), "FirmwareInventory")
        if uri is None:
            raise BmcAnswerError(f"{self._session.node}: the BMC has no firmware inventory", node=self._session.node)
        return await self.members(uri)

    async def _linked(self, name: str) -> str:
        uri = link(await self.root(), name)
        if uri is None:
            raise BmcAnswerError(f"{self._session.node}: the service root has no {name}", node=self._session.node)
        return uri

    async def _can_be_reset(self, uri: str) -> bool:
        return dig((await self.get(uri)).document, "Actions", "#ComputerSystem.Reset") is not None
