"""The editor of Compose files: which scalar gives a variable its value, and every other byte kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import compose_env
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.compose_env import Project, Sources

X = "TEAM_X"
SERVICES = "services:\n  web:\n    image: shop\n"


def project(*files: str, env: str = "", shell: dict[str, str] | None = None, **more: str) -> Project:
    """Return the project of these Compose files, .env, the shell's environment, and further files by their names."""
    return Project(
        Sources(
            files=[(f"{number}.yaml", text.encode()) for number, text in enumerate(files)],
            env_files=[("/shop/.env", env.encode())] if env else [],
            shell=shell or {},
            folder="/shop",
            read=lambda path: more[path.rpartition("/")[2].replace(".", "_")].encode() if "gone" not in path else None,
        )
    )


def web(text: str) -> str:
    """Return a Compose file whose service web has these lines."""
    return SERVICES + "".join(f"    {line}\n" for line in text.splitlines())


#: name, environment, value read, after writing "false"
CASES = [
    ("map", "environment:\n  TEAM_X: true\n  B: 1", "true", "environment:\n  TEAM_X: false\n  B: 1"),
    ("double quotes", 'environment:\n  TEAM_X: "true"', "true", 'environment:\n  TEAM_X: "false"'),
    ("single quotes", "environment:\n  TEAM_X: 'true' # on", "true", "environment:\n  TEAM_X: 'false' # on"),
    ("title case", "environment:\n  TEAM_X: True", "true", "environment:\n  TEAM_X: false"),
    ("a word", "environment:\n  TEAM_X: yes", "yes", "environment:\n  TEAM_X: false"),
    ("quoted name", 'environment:\n  "TEAM_X": 1', "1", 'environment:\n  "TEAM_X": false'),
    ("empty text", 'environment:\n  TEAM_X: ""', "", 'environment:\n  TEAM_X: "false"'),
    ("flow map", "environment: {A: 1, TEAM_X: on, B: 2}", "on", "environment: {A: 1, TEAM_X: false, B: 2}"),
    ("list", "environment:\n  - A=1\n  - TEAM_X=true", "true", "environment:\n  - A=1\n  - TEAM_X=false"),
    ("list, quotes", 'environment:\n  - "TEAM_X=true"', "true", 'environment:\n  - "TEAM_X=false"'),
    ("list, no value", "environment:\n  - TEAM_X=", "", "environment:\n  - TEAM_X=false"),
    ("flow list", "environment: [TEAM_X=1, A=2]", "1", "environment: [TEAM_X=false, A=2]"),
    ("default", "environment:\n  TEAM_X: ${Y:-true}", "true", "environment:\n  TEAM_X: ${Y:-false}"),
    ("default in a list", "environment:\n  - TEAM_X=${Y-1}", "1", "environment:\n  - TEAM_X=${Y-false}"),
    ("anchored scalar", "environment:\n  TEAM_X: &on 'true'", "true", "environment:\n  TEAM_X: &on 'false'"),
    ("tagged scalar", "environment:\n  TEAM_X: !!str true", "true", "environment:\n  TEAM_X: !!str false"),
    ("other names", "environment:\n  OLD_TEAM_X: 1\n  TEAM_X: 1\n  TEAM_XY: 1", "1",
     "environment:\n  OLD_TEAM_X: 1\n  TEAM_X: false\n  TEAM_XY: 1"),
]  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("lines", "value", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reads_and_edits_only_the_value(lines: str, value: str, after: str, newline: str) -> None:
    text = web(lines).replace("\n", newline)
    place = project(text).places("web", X)[-1]
    assert place.value == value
    written = compose_env.replaced(text.encode(), place, "false")
    assert written.decode() == web(after).replace("\n", newline)
    again = project(written.decode()).places("web", X)[-1]
    assert compose_env.replaced(written, again, "false") == written


def test_a_merge_key_is_followed_and_loses_to_the_services_own() -> None:
    anchors = "x-a: &a {TEAM_X: 1, A: a}\nx-b: &b {TEAM_X: 2}\n"
    lines = "environment:\n  B: own\n  <<: [*a, *b]"
    one = project(anchors + web(lines))
    assert [(str(place), place.value) for place in one.places("web", X)] == [("0.yaml:2", "2"), ("0.yaml:1", "1")]
    assert one.places("web", "A")[-1].value == "a"
    own = project(anchors + web("environment:\n  TEAM_X: 3\n  <<: *a"))
    assert own.places("web", X)[-1].value == "3"


def test_a_service_of_the_same_file_that_is_extended_is_followed() -> None:
    base = "  base: {environment: [TEAM_X=1, A=1], env_file: a.env}\n"
    one = project(
        f"{web('extends: {service: base}')}    environment: {{A: 2}}\n{base}  other: {{extends: base}}", a_env="B=1\n"
    )
    assert {key: one.places("web", key)[-1].value for key in (X, "A", "B")} == {X: "1", "A": "2", "B": "1"}
    assert [name for name, key in one.sharing(one.places("web", X)[-1])] == ["base", "other", "web"]
    assert one.sharing(one.places("web", "A")[-1]) == [("web", "A")]


def test_a_service_of_another_file_that_is_extended_is_followed() -> None:
    base = "services: {base: {environment: [TEAM_X=1, A=1, B=1]}}"
    lines = "extends: {service: base, file: sub/base.yaml}\nenvironment: {A: 2}"
    one = project(
        web(lines),
        "services: {web: {environment: {B: 3}}, other: {extends: {service: base, file: base.yaml}}}",
        base_yaml=base,
    )
    assert {key: one.places("web", key)[-1].value for key in (X, "A", "B")} == {X: "1", "A": "2", "B": "3"}
    assert str(one.places("web", X)[-1]) == "/shop/sub/base.yaml:1"
    assert one.sharing(one.places("web", X)[-1]) == [("web", X)]
    assert one.other_files() == ["/shop/base.yaml", "/shop/sub/base.yaml"]


def test_services_that_extend_each_other_end() -> None:
    one = project("services: {web: {extends: b, environment: {A: 1}}, b: {extends: web, environment: {A: 2}}}")
    assert [place.value for place in one.places("web", "A")] == ["2", "1"]


def test_who_shares_a_place_is_told() -> None:
    text = "x-a: &a {TEAM_X: &on 1}\nservices:\n  web: {environment: *a}\n  worker:\n    environment:\n      <<: *a\n"
    text += "      OTHER: *on\n  own:\n    environment:\n      <<: *a\n      TEAM_X: 1\n"
    one = project(text)
    assert one.sharing(one.places("web", X)[-1]) == [("web", X), ("worker", X), ("worker", "OTHER")]


@pytest.mark.parametrize(
    ("more", "source", "value"),
    [
        ({}, "0.yaml:5", "no"),
        ({"env": "A=1\nY=true\n"}, "/shop/.env:2", "true"),
        ({"env": "Y=\n"}, "0.yaml:5", "no"),
        ({"env": "Y=true\n", "shell": {"Y": "1"}}, "the shell's environment", "1"),
    ],
    ids=["default", "env file", "empty env file", "shell"],
)
def test_a_reference_is_looked_up_where_compose_does(more: dict, source: str, value: str) -> None:
    place = project(web("environment:\n  TEAM_X: ${Y:-no}"), **more).places("web", X)[-1]
    assert (str(place), place.value) == (source, value)


def test_environment_beats_env_file_and_later_files_win() -> None:
    env_files = "env_file:\n  - a.env\n  - {path: gone.env, required: false}\n  - b.env\n"
    one = project(web(env_files), a_env="TEAM_X=1\n", b_env="#\nTEAM_X=2\n")
    assert [str(place) for place in one.places("web", X)] == ["/shop/a.env:1", "/shop/b.env:2"]
    override = "services: {web: {environment: {TEAM_X: 4}}}\n"
    both = project(web(env_files + "environment: [TEAM_X=3]"), override, a_env="", b_env="TEAM_X=2\n")
    assert [place.value for place in both.places("web", X)] == ["2", "3", "4"]
    assert str(both.places("web", X)[-1]) == "1.yaml:1"


@pytest.mark.parametrize(
    ("lines", "after"),
    [
        ("environment:\n  # why\n  A: 1", 'environment:\n  # why\n  TEAM_X: "false"\n  A: 1'),
        ("environment:\n  <<: {A: 1}", 'environment:\n  TEAM_X: "false"\n  <<: {A: 1}'),
        ("environment:\n- A=1\n- B=2", "environment:\n- TEAM_X=false\n- A=1\n- B=2"),
        ("environment:\n  -   A-B=1", "environment:\n  - TEAM_X=false\n  -   A-B=1"),
        ("environment: {A: 1}", 'environment: {TEAM_X: "false", A: 1}'),
        ("environment: [A=1]", "environment: [TEAM_X=false, A=1]"),
    ],
)
def test_a_variable_is_added_before_the_first(lines: str, after: str) -> None:
    text = web(lines)
    (into,) = project(text).insertions("web")
    assert compose_env.inserted(text.encode(), into, X, "false").decode() == web(after)
    assert project(web("environment: {}")).insertions("web") == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("services: [", "the file is no YAML in line 1"),
        ("- a", "the file is no Compose file"),
        ("services:\n  web: {environment: !reset null}", "0.yaml:2: the tag !reset is not followed"),
        ("services:\n  web: {environment: {TEAM_X: [1]}}", "0.yaml:2: a variable of an environment is no text"),
        ("services:\n  db: {}", "there is no service 'web' in the project's files"),
        (
            "services:\n  web: {extends: {file: gone.yaml, service: a}}",
            "0.yaml:2: the service 'web' extends one of /shop/gone.yaml, which can't be read",
        ),
    ],
)
def test_what_cant_be_read_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        project(text).places("web", X)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    "lines", ["TEAM_X: a${Y}b", "TEAM_X: ${Y:-${Z:-true}}", "TEAM_X: |\n    true", 'TEAM_X: "tr\\u0075e"']
)
def test_a_value_of_pieces_is_refused(lines: str) -> None:
    text = web(f"environment:\n  {lines}")
    with pytest.raises(InvalidInput, match="put together from pieces"):
        compose_env.replaced(text.encode(), project(text).places("web", X)[-1], "false")


@pytest.mark.parametrize("word", ["a b", "$X", "", "a:b", '"'])
def test_a_word_that_needs_quotes_is_refused(word: str) -> None:
    text = web("environment:\n  TEAM_X: 1")
    with pytest.raises(InvalidInput, match="must be of letters"):
        compose_env.replaced(text.encode(), project(text).places("web", X)[-1], word)


_NAMES = st.sampled_from(["A", "B_1", X, "TEAM_XY"])
_VALUES = st.sampled_from(
    ["true", "'true'", '"on"', "1", "${Y:-true}", "${A-0}", "", "~", "False", "no # why", "a é漢"]
)
_NOTES = st.sampled_from(["", "# TEAM_X: true\n", "\n"])


@st.composite
def _environment(draw: st.DrawFn, indent: str, anchors: bool) -> str:
    names = draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
    entries = []
    for name in names:
        value = draw(_VALUES)
        if draw(st.booleans()):
            entries.append((name, f"{name}: {value}"))
        else:
            entries.append((name, f'"{name}":  {value}'))
    lines = [f"{draw(_NOTES)}{indent}{text}\n" for dummy, text in entries]
    if anchors and draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), f"{indent}<<: *base\n")
    return "".join(lines)


@st.composite
def _files(draw: st.DrawFn) -> str:
    text = "x-base: &base\n" + draw(_environment("  ", anchors=False)) + "services:\n"
    for service in ("web", "worker"):
        text += f"  {service}:\n    image: shop  # é\n    environment:\n{draw(_environment('      ', anchors=True))}"
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@settings(max_examples=150, deadline=None)
@given(text=_files(), value=st.sampled_from(["true", "false", "0", "no"]))
def test_any_file_keeps_every_other_byte(text: str, value: str) -> None:
    """Whatever shares the place changes, all else reads as before, and the file is the same around the scalar."""
    before = project(text)
    places = before.places("web", X)
    if not places or places[-1].kind != compose_env.ENVIRONMENT:
        return
    place = places[-1]
    written = compose_env.replaced(text.encode(), place, value).decode()
    scalar = place.scalar
    assert scalar is not None
    assert written == text[: scalar.start] + value + text[scalar.end :]
    after = project(written)
    sharing = before.sharing(place)
    for service in before.services:
        for key in ("A", "B_1", X, "TEAM_XY"):
            was, now = before.places(service, key), after.places(service, key)
            if was:
                assert now[-1].value == (value if (service, key) in sharing else was[-1].value)
