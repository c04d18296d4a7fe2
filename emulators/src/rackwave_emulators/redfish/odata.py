"""The two documents that OData wants of a service (DSP0266, "OData service document", "OData $metadata")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from . import paths

METADATA_TYPE = "application/xml;charset=utf-8"

# Schemas of the resources that the lab serves; $metadata names where each is defined.
_SCHEMAS = (
    "AccountService",
    "Bios",
    "CertificateService",
    "Chassis",
    "ChassisCollection",
    "ComputerSystem",
    "ComputerSystemCollection",
    "ManagerAccount",
    "ManagerAccountCollection",
    "Event",
    "EventDestination",
    "EventDestinationCollection",
    "EventService",
    "Manager",
    "ManagerCollection",
    "Message",
    "MessageRegistryFile",
    "MessageRegistryFileCollection",
    "Role",
    "RoleCollection",
    "ServiceRoot",
    "Session",
    "SessionCollection",
    "SessionService",
    "SoftwareInventory",
    "SoftwareInventoryCollection",
    "Task",
    "TaskCollection",
    "TaskService",
    "UpdateService",
)


@cache
def metadata() -> bytes:
    """The $metadata document: which schemas there are, and an EntityContainer that extends the service's."""
    references = "".join(
        f'<edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/{name}_v1.xml"><edmx:Include Namespace="{name}"/>'
        "</edmx:Reference>"
        for name in _SCHEMAS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">'
        f"{references}"
        '<edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/ServiceRoot_v1.xml">'
        '<edmx:Include Namespace="ServiceRoot.v1_15_0"/></edmx:Reference>'
        '<edmx:DataServices><Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">'
        '<EntityContainer Name="Service" Extends="ServiceRoot.v1_15_0.ServiceContainer"/>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def service_document(root: Mapping[str, Any]) -> dict[str, Any]:
    """The OData service document: the service root, and what it links to directly."""
    found = [("Service", f"{paths.ROOT}/"), *_links(root)]
    return {
        "@odata.context": f"{paths.ROOT}/$metadata",
        "value": [{"name": name, "kind": "Singleton", "url": url} for name, url in found],
    }


def _links(root: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in root.items():
        if isinstance(value, dict) and isinstance(value.get("@odata.id"), str):
            yield name, value["@odata.id"]
    yield "Sessions", root["Links"]["Sessions"]["@odata.id"]
