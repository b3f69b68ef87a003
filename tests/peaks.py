"""How much memory a process of its own took at most.

Not ``ru_maxrss``: Linux lets a child begin with what its parent had, and a test's parent is large.
"""

from __future__ import annotations

PEAK_MIB = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024"
"""An expression that is the peak so far of the process that evaluates it."""
