"""The env file editor: what real readers read, and every other byte kept."""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import env_file

FLAG = "TEAM_X"
BOTH = (env_file.SYSTEMD, env_file.DOTENV)

#: name, dialect, before, what the readers hold, after writing "false"
CASES = [
    ("plain", "both", b"A=1\nTEAM_X=true\nB=2\n", "true", b"A=1\nTEAM_X=false\nB=2\n"),
    ("double quotes stay", "both", b'TEAM_X="true"\n', "true", b'TEAM_X="false"\n'),
    ("single quotes stay", "both", b"TEAM_X='true'\n", "true", b"TEAM_X='false'\n"),
    ("last of duplicates", "both", b"TEAM_X=true\nTEAM_X=1\n", "1", b"TEAM_X=true\nTEAM_X=false\n"),
    ("CRLF", "both", b"A=1\r\nTEAM_X=true\r\n", "true", b"A=1\r\nTEAM_X=false\r\n"),
    ("no last line end", "both", b"A=1\nTEAM_X=true", "true", b"A=1\nTEAM_X=false"),
    ("added", "both", b"A=1\n", None, b"A=1\nTEAM_X=false\n"),
    ("added, CRLF", "both", b"A=1\r\n", None, b"A=1\r\nTEAM_X=false\r\n"),
    ("added, no last line end", "both", b"A=1", None, b"A=1\nTEAM_X=false"),
    ("added to nothing", "both", b"", None, b"TEAM_X=false\n"),
    ("comment is no assignment", "both", b"#TEAM_X=true\n", None, b"#TEAM_X=true\nTEAM_X=false\n"),
    ("longer name", "both", b"OLD_TEAM_X=true\nTEAM_XY=1\n", None, b"OLD_TEAM_X=true\nTEAM_XY=1\nTEAM_X=false\n"),
    ("empty value", "both", b"TEAM_X=\nA=1\n", "", b"TEAM_X=false\nA=1\n"),
    ("indented", "both", b"  TEAM_X=true  \n", "true", b"  TEAM_X=false  \n"),
    ("byte order mark, second line", "both", b"\xef\xbb\xbf#\nTEAM_X=true\n", "true", b"\xef\xbb\xbf#\nTEAM_X=false\n"),
    ("value over lines before", "both", b"A='\nTEAM_X=true\n'\n", None, b"A='\nTEAM_X=true\n'\nTEAM_X=false\n"),
    ("; comments", "systemd", b";TEAM_X=1\nTEAM_X=true\n", "true", b";TEAM_X=1\nTEAM_X=false\n"),
    ("blanks around", "systemd", b"TEAM_X =  true\t\n", "true", b"TEAM_X =  false\t\n"),
    ("no comment after a value", "systemd", b"TEAM_X=true # on\n", "true # on", b"TEAM_X=false\n"),
    ("export assigns nothing", "systemd", b"export TEAM_X=true\n", None, b"export TEAM_X=true\nTEAM_X=false\n"),
    ("continued line", "systemd", b"TEAM_X=tr\\\nue\nA=1\n", "true", b"TEAM_X=false\nA=1\n"),
    ("pieces", "systemd", b"TEAM_X='tr'\"ue\"\n", "true", b"TEAM_X=false\n"),
    ("swallowed last line", "systemd", b"A=1\\\n", None, b"A=1\\\n\nTEAM_X=false\n"),
    ("comment with backslash", "systemd", b"# c \\\nTEAM_X=true\n", "true", b"# c \\\nTEAM_X=false\n"),
    ("comment goes on", "systemd<254", b"# c \\\nTEAM_X=true\n", None, b"# c \\\nTEAM_X=true\nTEAM_X=false\n"),
    ("export", "dotenv", b"export TEAM_X=true\n", "true", b"export TEAM_X=false\n"),
    ("comment after a value", "dotenv", b"TEAM_X=true  # why\n", "true", b"TEAM_X=false  # why\n"),
    ("comment after quotes", "dotenv", b"TEAM_X='true' # why\n", "true", b"TEAM_X='false' # why\n"),
    ("# inside a value", "dotenv", b"TEAM_X=a#b\n", "a#b", b"TEAM_X=false\n"),
    ("empty before comment", "dotenv", b"TEAM_X= # why\n", "", b"TEAM_X=false # why\n"),
    ("more than an assignment", "dotenv", b"TEAM_X=1; A=2\n", "1; A=2", b"TEAM_X=1; A=2\nTEAM_X=false\n"),
]


def _cases():
    for name, dialect, before, value, after in CASES:
        for one in BOTH if dialect == "both" else (dialect,):
            yield pytest.param(one, before, value, after, id=f"{one}: {name}")


@pytest.mark.parametrize(("dialect", "before", "value", "after"), list(_cases()))
def test_reads_and_edits_only_the_value(dialect, before, value, after):
    found = env_file.read(before, FLAG, dialect)
    assert (found.value if found else None) == value
    written = env_file.assign(before, FLAG, "false", dialect)
    assert written == after
    assert env_file.read(written, FLAG, dialect).value == "false"
    assert env_file.assign(written, FLAG, "false", dialect) == written


def test_names_the_line():
    assert env_file.read(b"# x\nA='\n'\nTEAM_X=1\n", FLAG, env_file.DOTENV).line == 4


@pytest.mark.parametrize("dialect", BOTH)
def test_refuses_what_is_not_utf8_and_names_the_byte(dialect):
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 3"):
        env_file.assign(b"A=1\xff\n", FLAG, "false", dialect, "/etc/app.env")


@pytest.mark.parametrize("dialect", BOTH)
def test_refuses_an_open_quote_and_names_the_line(dialect):
    with pytest.raises(InvalidInput, match="line 2 is never closed"):
        env_file.assign(b"TEAM_X=true\nA='x\nB=1\n", FLAG, "false", dialect)


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a\nb", "$(id)", "a\\"])
def test_refuses_a_word_that_needs_escapes(value):
    with pytest.raises(InvalidInput, match="must not hold"):
        env_file.assign(b"", FLAG, value, env_file.DOTENV)


_NAMES = st.sampled_from(["A", "B_1", "TEAM_X", "TEAM_XY", "PATH_TO"])
_WORDS = st.text(st.sampled_from("abcXYZ019_./:-é漢"), max_size=8)
_LOOSE = st.text(st.sampled_from("ab =#;'\"\\$\t\r\né"), max_size=14)
_BLANKS = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def _line(draw, dialect):
    value = draw(st.one_of(_WORDS, _WORDS.map(lambda w: f"'{w} {w}'"), _WORDS.map(lambda w: f'"{w}\n{w}"')))
    if dialect == env_file.DOTENV:
        start = draw(st.sampled_from(["", "export ", "  "]))
        return f"{start}{draw(_NAMES)}={value}{draw(st.sampled_from(['', '  # note', ' ']))}"
    return f"{draw(_BLANKS)}{draw(_NAMES)}{draw(_BLANKS)}={draw(_BLANKS)}{value}{draw(_BLANKS)}"


@st.composite
def _tidy(draw, dialect):
    """A file of assignments, comments and empty lines as people write them."""
    other = st.sampled_from(["", "# note 'open", "   ", "#TEAM_X=1"])
    lines = draw(st.lists(st.one_of(_line(dialect), other), max_size=7))
    return ("\n".join(lines) + draw(st.sampled_from(["", "\n"]))).encode()


@pytest.mark.parametrize("dialect", env_file.DIALECTS)
@given(data=st.data(), value=st.one_of(st.sampled_from(["true", "false", "", "on it", "é#"]), _WORDS))
def test_any_file_keeps_every_other_byte(dialect, data, value):
    """Also for files that are no files of assignments: the edit is exact, or it is refused."""
    content = data.draw(st.one_of(_tidy(dialect), st.lists(_LOOSE, max_size=5).map("\n".join).map(str.encode)))
    try:
        before = env_file.assignments(content, dialect)
        after = env_file.assign(content, FLAG, value, dialect)
    except InvalidInput:
        return
    assert env_file.read(after, FLAG, dialect).value == value
    assert env_file.assign(after, FLAG, value, dialect) == after
    winner = next((item for item in reversed(before) if item.key == FLAG), None)
    if winner is None or not winner.plain:
        assert after.startswith(content)
    elif winner.value != value:
        text = content.decode()
        assert after.startswith(text[: winner.start].encode())
        assert after.endswith(text[winner.end :].encode())
    assert [item.value for item in env_file.assignments(after, dialect) if item.key != FLAG] == [
        item.value for item in before if item.key != FLAG
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=_tidy(env_file.DOTENV))
def test_a_shell_reads_the_same(tmp_path, content):
    path = tmp_path / "app.env"
    path.write_bytes(env_file.assign(content, FLAG, "false", env_file.DOTENV))
    argv = [shutil.which("sh"), "-c", 'set -a; . "$1"; exec env -0', "sh", str(path)]
    done = subprocess.run(argv, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    held = dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if "=" in pair)
    ours = {item.key: item.value for item in env_file.assignments(path.read_bytes(), env_file.DOTENV)}
    assert {name: held[name] for name in ours} == ours
    assert held[FLAG] == "false"
