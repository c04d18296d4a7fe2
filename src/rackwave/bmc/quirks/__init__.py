"""What makes of BMC do otherwise than DMTF's standard says, as data.

``records/*.toml`` are the records that ship; docs/quirks.md tells how to write one. `reader` reads them,
`roster` chooses those that concern one BMC and merges them into one `Quirks`, whose defaults are the standard's.
"""

from .quirks import (
    PLAIN,
    ApplyTime,
    BankSwitch,
    BootMarker,
    HttpPushForm,
    Naming,
    PostWitness,
    Quirks,
    TargetsSent,
    TaskWord,
    UpdateWay,
)
from .record import Facts, Record
from .roster import Roster, Selection
from .shipped import load_roster

__all__ = [
    "PLAIN",
    "ApplyTime",
    "BankSwitch",
    "BootMarker",
    "Facts",
    "HttpPushForm",
    "Naming",
    "PostWitness",
    "Quirks",
    "Record",
    "Roster",
    "Selection",
    "TargetsSent",
    "TaskWord",
    "UpdateWay",
    "load_roster",
]
