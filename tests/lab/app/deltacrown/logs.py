"""One JSON object per log line, to a file that may be renamed at any time, or to standard output."""

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON with a UTC time in milliseconds; `extra={"about": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "pid": record.process,
            "process": os.environ.get("DELTACROWN_PROCESS", "manage"),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def config(log_dir: str | None, process: str) -> dict[str, Any]:
    """Return Django's LOGGING for a process called `process`; without a folder the lines go to standard output."""
    handler: dict[str, Any] = {"formatter": "json", "class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    if process == "manage":
        handler["stream"] = "ext://sys.stderr"  # a command's answer alone goes to standard output
    elif log_dir:
        path = os.path.join(log_dir, f"{process}.log")
        handler = {"formatter": "json", "class": "logging.handlers.WatchedFileHandler", "filename": path}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLines}},
        "handlers": {"lines": handler},
        "root": {"handlers": ["lines"], "level": "WARNING"},
        "loggers": {"deltacrown": {"level": "INFO"}, "django.request": {"level": "ERROR"}},
    }
