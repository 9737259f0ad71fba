"""What every fault must leave behind: one sentence, a non-zero end, a record that holds, no lock, nothing lost."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Chain, read_chain
from tests.lab.lab import Lab
from tests.support.measure import held
from tests.support.play import Ended

NO_SENTENCE = ("Traceback (most recent call last)", "bug in dualwrite.rollback", "Unexpected Exception", "ERROR!")


def lock_of(lab: Lab) -> Path:
    """Return where the lab's lock lies while a run holds it."""
    return lab.paths.run_dir / "lab.lock"


def canary_since(lab: Lab, moment: datetime) -> bool:
    """Return whether the application has served the canary of a verification since then."""
    return any(
        "dualwrite-canary-" in str(line.get("slug")) and datetime.fromisoformat(line["time"]) >= moment
        for line in lab.lines("web")
    )


def sentence(ended: Ended, *words: str) -> str:
    """Assert a non-zero end that one line explains with all these words, and no traceback; return the line."""
    assert ended.rc != 0, ended.text
    for never in NO_SENTENCE:
        assert never not in ended.text, ended.text
    found = [line for line in ended.text.splitlines() if all(word in line for word in words)]
    assert found, f"no line holds all of {words}:\n{ended.text}"
    return found[0]


def chain_of(folder: Path) -> Chain:
    """Return a record's chain after asserting that it holds."""
    chain = read_chain((folder / "record.jsonl").read_bytes())
    assert (chain.problem, chain.torn) == ("", 0)
    assert chain.entries
    return chain


def closed(folder: Path) -> dict[str, Any]:
    """Return the data of the record's last entry after asserting that the run was closed and has its report."""
    last = chain_of(folder).entries[-1]
    assert last["type"] == "close", last
    for name in ("incident.md", "incident.html"):
        assert (folder / name).stat().st_size > 0
    data: dict[str, Any] = last["data"]
    return data


def failed(ended: Ended, lab: Lab, *words: str, outcome: str = "failed") -> str:
    """Assert what every run that fails on the lab's host leaves; return the sentence that the operator saw."""
    said = sentence(ended, *words)
    end = closed(ended.run_folder)
    assert end["hosts"] == {"lab": outcome}
    told = " ".join((ended.run_folder / "incident.md").read_text().replace("\\", "").split())
    for word in words:
        assert word in end["failed_hosts"]["lab"], end["failed_hosts"]
        assert word in told, told
    assert not lock_of(lab).exists()
    return said


def shown(ended: Ended, secrets: dict[str, str]) -> list[str]:
    """Return where a secret can be read: on the screen, in the record, in the report."""
    places = {"the screen": ended.text}
    places |= {path.name: path.read_text() for path in ended.run_folder.iterdir()}
    assert set(places) == {"the screen", "record.jsonl", "incident.md", "incident.html"}
    return [f"{name} in {place}" for name, value in secrets.items() for place, text in places.items() if value in text]


def proved(ended: Ended, lab: Lab) -> None:
    """Assert that a run did and proved what it promises."""
    assert ended.rc == 0, ended.text
    assert closed(ended.run_folder)["hosts"]["lab"] in ("done", "unchanged")
    assert held(lab) == ["false"] * 5
    assert not lock_of(lab).exists()
