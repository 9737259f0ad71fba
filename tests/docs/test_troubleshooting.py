"""Each message that the page of troubleshooting quotes is one that the collection says, so that the page can't rot."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.play import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", re.MULTILINE)
GAP = "…"


def quoted() -> list[str]:
    """Return the messages of the page."""
    return [found[1] for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def text_of(node: ast.AST) -> str:
    """Return the text that an expression gives, with a gap for each value that is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return GAP


def texts(tree: ast.AST) -> Iterator[str]:
    """Walk through the texts of a Python file."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
            yield text_of(node)


def flat(text: str) -> str:
    """Return a text with single blanks and single gaps."""
    return re.sub(f"{GAP}+", GAP, " ".join(text.split()))


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What plugins and roles can say."""
    found = [
        text for path in (ROOT / "plugins").rglob("*.py") for text in texts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    places = ("roles/*/tasks/*.yml", "roles/*/defaults/*.yml", "playbooks/**/*.yml")
    written = [path.read_text(encoding="utf-8") for place in places for path in ROOT.glob(place)]
    found += [*written, *(re.sub(r"\{\{.*?\}\}", GAP, text, flags=re.DOTALL) for text in written)]
    return [flat(text) for text in found]


@pytest.mark.parametrize("message", quoted())
def test_the_message_is_said(said: list[str], message: str) -> None:
    assert [text for text in said if flat(message) in text], message


def test_every_row_is_looked_at() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(quoted()) > 50


def test_a_message_that_nobody_says_is_told(said: list[str]) -> None:
    assert not [text for text in said if flat("the moon is in the way of …") in text]
