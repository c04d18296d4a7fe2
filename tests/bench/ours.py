"""``rackwave`` as anybody runs it, and at its end what its children cost: ours.py REPORT ARGUMENTS...

Whoever waits for a process is told the CPU of the process and of its children in one sum. What the
image server took is written to REPORT, so that it can be told apart.
"""

import resource
import sys
from pathlib import Path

from rackwave.cli import main

try:
    main(sys.argv[2:])
finally:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(str(children.ru_utime + children.ru_stime))
