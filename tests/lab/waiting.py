"""Wait for something to become true, and say what was waited for when it does not."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class LabError(Exception):
    """A part of the lab does not do what it should; the text says which, and where to look."""


def wait_until(look: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """Ask `look` until it answers something true, and return that. Raise LabError after `seconds`."""
    end = time.monotonic() + seconds
    pause = 0.01
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(f"{what}: not so after {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


@contextlib.contextmanager
def quoting(log: Path, lines: int = 3) -> Iterator[None]:
    """Let a LabError of the block end with the last words of a log, which may be gone when somebody wants to look."""
    try:
        yield
    except LabError as error:
        text = log.read_text(errors="replace") if log.exists() else ""
        said = " | ".join(line.strip() for line in text.splitlines()[-lines:])
        raise LabError(f"{error}; {log.name} says: {said or 'nothing'}") from error
