"""The three flags of the application, and how their text is read."""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

DUAL_WRITE = "TEAM_VNEXT_DUAL_WRITE_ENABLED"
STRICT_MODE = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE"
LEGACY_BLOCKED = "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
NAMES = (DUAL_WRITE, STRICT_MODE, LEGACY_BLOCKED)

WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def parse(name: str, text: str) -> bool:
    """Read one flag's text. Raise ImproperlyConfigured when it is none of the known words."""
    try:
        return WORDS[text.strip().lower()]
    except KeyError:
        raise ImproperlyConfigured(f"{name} is {text!r}; write one of: {', '.join(WORDS)}") from None


def load(environ: Mapping[str, str]) -> dict[str, bool]:
    """Read all flags from an environment; one that is not there is off."""
    return {name: parse(name, environ.get(name, "false")) for name in NAMES}
