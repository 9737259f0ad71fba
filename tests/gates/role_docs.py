"""Render each role's option tables from its meta/argument_specs.yml into its README, between two markers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROLES = Path(__file__).resolve().parents[2] / "roles"
START = "<!-- options: made by scripts/role-docs from meta/argument_specs.yml -->"
END = "<!-- options: end -->"


def entry_points(role: Path) -> dict[str, Any]:
    """Read a role's argument specs: entry point -> {short_description, options, ...}."""
    import yaml

    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return dict(specs["argument_specs"])


def defaults(role: Path) -> dict[str, Any]:
    """Read a role's defaults: option -> value, which is often a template that the specs' types can't hold."""
    import yaml

    path = role / "defaults" / "main.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options_tables(role: Path) -> str:
    """Render one table per entry point."""
    parts = []
    for name, spec in entry_points(role).items():
        parts.append(f"### Entry point `{name}`\n\n{spec['short_description'].rstrip('.')}.")
        rows = list(_rows(spec.get("options") or {}, defaults(role)))
        if rows:
            parts.append("\n".join(["| Option | Type | Default | Meaning |", "| --- | --- | --- | --- |", *rows]))
        else:
            parts.append("It has no options.")
    return "\n\n".join(parts)


def _rows(options: dict[str, Any], templated: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if kind == "list" and "elements" in option:
            kind = f"list of {option['elements']}"
        default = "required" if option.get("required") else ""
        if "default" in option or prefix + name in templated:
            default = _code(option.get("default", templated.get(prefix + name)))
        text = option.get("description", "")
        text = " ".join(" ".join(text).split() if isinstance(text, list) else text.split())
        if "choices" in option:
            text += " One of " + ", ".join(_code(choice) for choice in option["choices"]) + "."
        yield f"| `{prefix}{name}` | {kind} | {default} | {_cell(text)} |"
        yield from _rows(option.get("options") or {}, templated, f"{prefix}{name}.")


def _code(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def rendered(role: Path) -> str:
    """Return the README with current tables. Raises ValueError when the markers are not there, once and in order."""
    text = (role / "README.md").read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"{role.name}/README.md needs these two lines around its option tables:\n{START}\n{END}")
    before, rest = text.split(START)
    return f"{before}{START}\n\n{options_tables(role)}\n\n{END}{rest.split(END)[1]}"


def documented_roles() -> list[Path]:
    """List the roles of this tree."""
    return sorted(path.parents[1] for path in ROLES.glob("*/meta/argument_specs.yml"))


def main(arguments: list[str]) -> int:
    """Write the tables; with --check only say which are out of date. Returns an exit code."""
    stale = []
    for role in documented_roles():
        readme = role / "README.md"
        new = rendered(role)
        if new != readme.read_text(encoding="utf-8"):
            stale.append(role.name)
            if "--check" not in arguments:
                readme.write_text(new, encoding="utf-8")
    verb = "out of date" if "--check" in arguments else "renewed"
    print(f"role-docs: {verb}: {', '.join(stale)}" if stale else "role-docs: all current")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
