"""A logger plugin for Snakemake, as small as its interface allows: what it is told, an event on a line."""

from __future__ import annotations

import sys
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

SHOWN = {
    LogEvent.JOB_INFO: "{rule_name}: {rule_msg}",
    LogEvent.JOB_ERROR: "{rule_name}: see {log[0]}",
    LogEvent.PROGRESS: "{done} of {total}",
}


class LogHandler(LogHandlerBase):
    """``event| text``; what isn't an event goes as ``message| text``."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        text = SHOWN[event].format(**vars(record)) if event in SHOWN else str(record.msg)
        print(f"{event or 'message'}| {text}", file=sys.stderr, flush=True)
