"""Where a Compose project may say a flag: anchors, merge keys, env files, other files. Compose itself is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.compose_env import Project, Sources
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.compose_project import environment
from ansible_collections.dualwrite.rollback.tests.unit.contract.compose_bench import ComposeBench, held, read
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG

ANCHOR = """\
# the shop
x-flags: &flags
  {flag}: "true"  # till the cut-over
  SECRET: s3cr3t-of-the-shop
services:
  web: &web
    image: {image}
    command: [sleep, infinity]
    stop_signal: SIGKILL
    environment:
      <<: *flags
      ROLE: web
  worker:
    <<: *web
    environment: *flags
  other:
    <<: *web
"""


def others(bench: ComposeBench, text: str) -> str:
    """Write the project's file; return its text when the flag is off."""
    bench.write(f"name: {bench.name}\n{text}")
    return f"name: {bench.name}\n{text}".replace(f'{FLAG}: "true"', f'{FLAG}: "false"')


def test_an_anchor_of_listed_services_is_edited_once(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    off = others(bench, ANCHOR.format(flag=FLAG, image=bench.image).partition("  other:")[0])
    bench.start("web", "worker")
    entries = [bench.options("web"), bench.options("worker")]
    told = bench.set(*entries)
    assert (held(told), held(told, "worker")) == ({"false"}, {"false"})
    assert bench.file.read_text() == off
    assert "s3cr3t" not in str(told)
    assert [one["after"] for one in told["result"]["diff"]] == [f"{FLAG}=false\n"]


def test_an_anchor_that_an_unlisted_service_shares_is_refused(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    off = others(bench, ANCHOR.format(flag=FLAG, image=bench.image))
    bench.start("web", "worker", "other")
    before, text = bench.containers(), bench.file.read_text()
    told = bench.set(bench.options("web"), bench.options("worker"))
    assert told["error"] == "Refused"
    assert f"{bench.file}:4: {FLAG} comes from a place that other shares, which would change too" in told["text"]
    assert "List other as a workload too" in told["text"]
    assert (bench.file.read_text(), bench.containers()) == (text, before)
    given = [bench.options(name, shared_with=["other"]) for name in ("web", "worker")]
    assert held(bench.set(*given)) == {"false"}
    assert bench.file.read_text() == off
    assert bench.containers("other")[0] in before


#: what the environment says of X, more files, the file that is edited, what stands there afterwards
PLACES: dict[str, tuple[str, dict[str, str], str, str]] = {
    "env file": ("X: ${Y}", {".env": "A=1\nY='true' # on\r\n"}, ".env", "A=1\nY='false' # on\r\n"),
    "name without a value": ("X:", {".env": "X=true"}, ".env", "X=false"),
    "default of a reference": ("X: '${Y:-true}'", {}, "compose.yaml", "X: '${Y:-false}'"),
    "boolean": ("X: True # on", {}, "compose.yaml", "X: false # on"),
    "service of another file": (
        "extends: {service: base, file: base/base.yaml}",
        {
            "base/base.yaml": "services: {base: {extends: {file: root.yaml, service: root}, environment: {A: 1}}}",
            "base/root.yaml": "services:\n  root:\n    environment:\n      - X=true # for all\n",
        },
        "base/root.yaml",
        "services:\n  root:\n    environment:\n      - X=false # for all\n",
    ),
    "env file of a service of another file": (
        "extends: {service: base, file: base/base.yaml}",
        {"base/base.yaml": "services: {base: {env_file: base.env}}", "base/base.env": "X=true\n"},
        "base/base.env",
        "X=false\n",
    ),
    "override": (
        "X: 1",
        {"compose.override.yaml": 'services: {web: {environment: ["X=true"]}}'},
        "compose.override.yaml",
        'services: {web: {environment: ["X=false"]}}',
    ),
}


@pytest.mark.parametrize("name", list(PLACES))
def test_the_place_that_wins_is_edited(compose_bench: ComposeBench, name: str) -> None:
    bench = compose_bench
    line, more, path, after = PLACES[name]
    line = line.replace("X", FLAG)
    service = f"image: {bench.image}\n    stop_signal: SIGKILL\n    command: [sleep, infinity]"
    said = line if line.startswith("extends") else f"environment:\n      {line}"
    bench.write(f"name: {bench.name}\nservices:\n  web:\n    {service}\n    {said}\n")
    for file, text in more.items():
        (bench.folder / file).parent.mkdir(exist_ok=True)
        (bench.folder / file).write_bytes(text.replace("X", FLAG).encode())
    entry = bench.options("web", may_be_stopped=True)
    told = read(bench, entry)["workloads"]["web"][FLAG]
    assert told["value"] is True
    assert told["source"].startswith(f"{bench.folder / path}:")
    before = (bench.folder / path).read_bytes().decode()
    assert "result" in bench.set(entry)
    assert f'"{FLAG}": "false"' in bench.compose("config", "--format", "json")
    now = (bench.folder / path).read_bytes().decode()
    assert after.replace("X", FLAG) in now
    assert len(now) - len(before) in (0, 1)
    assert bench.set(entry)["result"]["changed"] is False


#: environments of which Compose is asked what it makes of them, the interpolated ones with Y=1 in .env
READ = """X: true
X: "yes"
X: TRUE
X: 0
X: ~
X: ''
X: ${Y}
X: ${Y:-2}
X: ${N-two}
X: ${N:-}
X: a${Y}b$$c
X: ${Y:+plus}
X: $Y
N:
Y:
""".splitlines()


def test_compose_reads_the_files_as_we_do(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    (bench.folder / ".env").write_text("Y=1\n")
    (bench.folder / "a.env").write_text("X=a # note\nY='q'\nexport N=\"n\"\nC = c\n")
    services = {f"map{number}": f"environment:\n      {line}" for number, line in enumerate(READ)}
    services |= {
        f"list{number}": f"environment: ['{line.replace(': ', '=', 1)}']" for number, line in enumerate(READ[6:13])
    }
    services |= {"file": "env_file: a.env", "both": "env_file: [a.env]\n    environment: [X=2, Y]"}
    services |= {"merged": "environment:\n      <<: [*one, *two]\n      B: 1", "based": "extends: {service: both}"}
    text = "x-a: &one {X: 1}\nx-b: &two {X: 2, C: 3}\nservices:\n"
    bench.write(text + "".join(f"  {name}:\n    image: none\n    {lines}\n" for name, lines in services.items()))
    config = json.loads(bench.compose("config", "--format", "json"))
    sources = Sources(
        files=[(str(bench.file), bench.file.read_bytes())],
        env_files=[(str(bench.folder / ".env"), b"Y=1\n")],
        shell={},
        folder=str(bench.folder),
        read=lambda path: Path(path).read_bytes(),
    )
    ours = Project(sources)
    for name in services:
        for key, value in environment(config, name, "").items():
            assert (name, key, ours.places(name, key)[-1].value) == (name, key, value)


def test_a_flag_declared_nowhere_is_added(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    bench.env("# none\n")
    bench.service("web", env_file=["app.env"])
    bench.start("web")
    assert held(bench.set(bench.options("web"))) == {"false"}
    assert bench.env() == f"# none\n{FLAG}=false\n"
    bench.env("# none\n")
    bench.service("web", env_file=["app.env"], environment=["ROLE=web"])
    assert held(bench.set(bench.options("web"))) == {"false"}
    assert (bench.env(), f"{FLAG}=false" in bench.file.read_text()) == ("# none\n", True)
    bench.service("web")
    told = bench.set(bench.options("web"))
    assert f"{FLAG} is declared nowhere, and the service has neither" in told["text"]


@pytest.mark.parametrize(
    ("service", "more", "sentence"),
    [
        ({"environment": {FLAG: "tr${NOTHING}ue"}}, {}, f"{FLAG} is put together from pieces"),
        ({"env_file": ["odd.env"]}, {}, f"docker compose config gives {FLAG} as 'true', but the files say (missing)"),
        ({"environment": {FLAG: "true"}}, {"side": {"network_mode": "service:web"}}, "side lives in the network"),
        ({"extends": {"service": "base"}}, {"base": {"environment": {FLAG: "true"}}}, "a place that base shares"),
        (
            {"extends": {"service": "base", "file": "more.yaml"}},
            {"side": {"extends": {"service": "base", "file": "more.yaml"}}},
            "more.yaml:1: TEAM_X comes from a place that side shares",
        ),
    ],
    ids=["pieces", "other syntax", "bound service", "extends", "extends of another file"],
)
def test_what_cant_be_changed_is_refused_first(
    compose_bench: ComposeBench, service: dict[str, Any], more: dict[str, Any], sentence: str
) -> None:
    bench = compose_bench
    (bench.folder / "odd.env").write_text(f"{FLAG}: true\n")
    (bench.folder / "more.yaml").write_text(f"services: {{base: {{environment: [{FLAG}=true]}}}}\n")
    bench.service("web", **service)
    for name, options in more.items():
        bench.service(name, **options)
    before = bench.file.read_text()
    told = bench.set(bench.options("web"))
    assert sentence in told["text"]
    assert "Traceback" not in told["text"]
    assert bench.file.read_text() == before
