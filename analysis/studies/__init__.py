"""Studies of ours: the pilot on the embedded suite, VaSE's claims, throughput."""

import signal
import sys

from ...runners.interrupt import SIGNALS, WHOLE, Stop

if sys.argv[0] == "-m":  # of Python, which then runs one of them: its imports take seconds
    for each in SIGNALS:
        signal.signal(each, Stop(then=WHOLE).leave)
