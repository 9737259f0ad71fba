"""A JSON patch (RFC 6902) as the platform kubernetes makes them, applied as the API does it."""

from __future__ import annotations

import copy
from typing import Any


def patched(template: Any, operations: list[Any], base: str) -> Any:
    """Return what the operations make of an object found at the pointer ``base``."""
    changed = copy.deepcopy(template)
    for one in operations:
        parts = one["path"][len(base) + 1 :].split("/")
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in parts]
        found = changed
        for part in above:
            found = found[int(part)] if isinstance(found, list) else found[part]
        key = last if isinstance(found, dict) else len(found) if last == "-" else int(last)
        if one["op"] == "add" and isinstance(found, list):
            found.insert(key, one["value"])
        elif one["op"] == "test":
            assert found[key] == one["value"], one
        elif one["op"] == "remove":
            del found[key]
        else:
            found[key] = one["value"]
    return changed
