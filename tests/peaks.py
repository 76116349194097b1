"""How much memory did a process hold at most? For scripts that a test runs in a process of its own."""

from __future__ import annotations

import sys

import pytest

# The start of such a script. Not by getrusage: that begins with what the process held that started this one.
PEAK = """
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

"""
needs_peak = pytest.mark.skipif(sys.platform != "linux", reason="the most memory held is read as Linux tells it")
