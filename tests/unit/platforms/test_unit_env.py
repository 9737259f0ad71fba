"""Environment= of unit files: what systemd reads, and every other byte kept (agreement: tests/unit/contract)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import unit_env

#: unit file, the values of X that systemd sees in order, the file after the last X was set to "false"
CASES = [
    ("[Service]\nEnvironment=X=true\n", ["true"], "[Service]\nEnvironment=X=false\n"),
    ('[Service]\nEnvironment="X=true" A=1\n', ["true"], '[Service]\nEnvironment="X=false" A=1\n'),
    ("[Service]\nEnvironment=A=1 'X=true'\n", ["true"], "[Service]\nEnvironment=A=1 'X=false'\n"),
    ('[Service]\nEnvironment=X="true"\n', ["true"], '[Service]\nEnvironment=X="false"\n'),
    (
        "[Service]\nEnvironment=X=1\nEnvironment=X=true\n",
        ["1", "true"],
        "[Service]\nEnvironment=X=1\nEnvironment=X=false\n",
    ),
    (
        "[Service]\nEnvironment=A=1 \\\n  X=true \\\n  B=2\n",
        ["true"],
        "[Service]\nEnvironment=A=1 \\\n  X=false \\\n  B=2\n",
    ),
    (
        "[Service]\nEnvironment=A=1 \\\n# X=9 \\\n  X=true\n",
        ["true"],
        "[Service]\nEnvironment=A=1 \\\n# X=9 \\\n  X=false\n",
    ),
    ("[Service]\n Environment = X=true\n", ["true"], None),
    ("[Service]\n#Environment=X=1\n;Environment=X=2\nEnvironment=X=true\n", ["true"], None),
    ("[Unit]\nEnvironment=X=1\n[Service]\nEnvironment=X=true\n", ["true"], None),
    ("[Service]\r\nEnvironment=X=true\r\n", ["true"], "[Service]\r\nEnvironment=X=false\r\n"),
    ('[Service]\nEnvironment="X=a b" X=\n', ["a b", ""], '[Service]\nEnvironment="X=a b" X=false\n'),
    ('[Service]\nEnvironment=X=tr"u"e\n', ["true"], '[Service]\nEnvironment="X=false"\n'),
    ("[Service]\nEnvironment=X=true", ["true"], "[Service]\nEnvironment=X=false"),
]


@pytest.mark.parametrize(("text", "values", "after"), CASES)
def test_reads_and_edits_only_the_word(text: str, values: list[str], after: str | None) -> None:
    found = [place for place in unit_env.places(text.encode()) if place.key == "X"]
    assert [place.value for place in found] == values
    written = unit_env.assign(text.encode(), found[-1], "false").decode()
    assert written == (after or text.replace("X=true", "X=false"))
    assert [place.value for place in unit_env.places(written.encode()) if place.key == "X"] == [*values[:-1], "false"]


def test_an_empty_assignment_is_told() -> None:
    found = unit_env.places(b"[Service]\nEnvironment=X=1\nEnvironment=\nEnvironment=Y=2\n")
    assert [(place.key, place.line) for place in found] == [("X", 2), ("", 3), ("Y", 4)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, '# Written by dualwrite.rollback.\n[Service]\nEnvironment="X=false"\n'),
        (b"[Service]\nA=1", '[Service]\nA=1\nEnvironment="X=false"\n'),
        (b"[Service]\nA=1\n[Install]\n", '[Service]\nA=1\n[Install]\n[Service]\nEnvironment="X=false"\n'),
    ],
)
def test_adds_to_a_drop_in(before: bytes | None, after: str) -> None:
    assert unit_env.add(before, "X", "false").decode() == after


def test_refuses_what_is_not_utf8_and_names_the_byte() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 1"):
        unit_env.places(b"#\xff\n")


_WORDS = st.sampled_from(["X=true", '"X=1"', "'X=off'", 'X="y z"', "A=1", '"B=2 3"', "\\\n  X=no", "\\\n# c\n  C=3"])
_LINES = st.one_of(
    st.lists(_WORDS, min_size=1, max_size=4).map(" ".join).map("Environment={}".format),
    st.sampled_from(["# X=1", "", "ExecStart=/bin/true X=5", "Environment=", "[Install]", "[Service]"]),
)


@given(st.lists(_LINES, max_size=8), st.sampled_from(["true", "false", "", "a b", "50%"]), st.sampled_from(["", "\n"]))
def test_any_unit_keeps_every_other_byte(lines: list[str], value: str, end: str) -> None:
    content = ("\n".join(["[Service]", *lines]) + end).encode()
    before = unit_env.places(content)
    mine = [place for place in before if place.key == "X"]
    if not mine:
        return
    after = unit_env.assign(content, mine[-1], value)
    expected = [(place.key, value if place is mine[-1] else place.value) for place in before]
    assert [(place.key, place.value) for place in unit_env.places(after)] == expected
    assert after.startswith(content[: mine[-1].start])
    assert after.endswith(content[mine[-1].end :])
