"""Kinds process_env and settings: what they make of what the platforms read (the platforms have tests of their own)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, NotFound
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.process import Finished, run
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context


@pytest.fixture
def held(context: Context) -> list[tuple[str, str | None]]:
    """Fill with (workload, text of FLAG): what the next reading finds."""
    found: list[tuple[str, str | None]] = []

    def read(flags: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"workload": workload, "instance": f"worker {number}", "started": "x", "flags": {"FLAG": text}}
            for number, (workload, text) in enumerate(found)
        ]

    context.workloads = ["web", "worker"]
    context.read_instances = read
    return found


@pytest.mark.parametrize(
    ("texts", "answer", "detail"),
    [
        ([("web", "false"), ("worker", "0")], "pass", "all 2 instances hold FLAG false"),
        (
            [("web", "false"), ("worker", "True")],
            "fail",
            "FLAG is true instead of false in 1 of 2 instances: worker worker 1",
        ),
        ([("web", "false"), ("worker", None)], "unknown", "FLAG is missing in 1 of 2 instances: worker worker 1"),
        ([("web", "false")], "unknown", "no instance of worker runs"),
        ([], "unknown", "no instance of web runs; no instance of worker runs"),
        (
            [("web", "nope"), ("worker", "off")],
            "unknown",
            "FLAG is 'nope' (no boolean word) in 1 of 2 instances: web worker 0",
        ),
    ],
)
def test_every_instance_counts(
    ask: Callable[..., Any], held: list[Any], texts: list[Any], answer: str, detail: str
) -> None:
    held += texts
    seen = ask("process_env", flags={"FLAG": False})
    assert (seen.answer, seen.detail) == (answer, detail)
    assert len(seen.extra["instances"]) == len(texts)


def test_chosen_workloads_and_the_flags_of_the_call(ask: Callable[..., Any], held: list[Any], context: Context) -> None:
    held += [("web", "no"), ("worker", "yes")]
    context.flags = {"FLAG": False}
    assert ask("process_env", workloads=["web"]).answer == "pass"
    assert ask("process_env").answer == "fail"


def test_a_workload_that_need_not_run(ask: Callable[..., Any], held: list[Any], context: Context) -> None:
    held.append(("web", "no"))
    context.may_be_stopped = ["worker"]
    assert ask("process_env", flags={"FLAG": False}).answer == "pass"
    held.clear()
    context.may_be_stopped = ["web", "worker"]
    assert ask("process_env", flags={"FLAG": False}).answer == "unknown"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "no flags are given"),
        ({"flags": {"FLAG": "perhaps"}}, "'perhaps' is not a boolean"),
        ({"flags": {"FLAG": False}, "workloads": ["beat"]}, "there is no workload 'beat'. Known are: web, worker"),
    ],
)
def test_wrong_options_of_process_env(
    build: Callable[..., Any], held: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        build("process_env", **options)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "options", [("process_env", {"flags": {"F": True}}), ("settings", {"argv": ["x"], "expect": {"a": 1}})]
)
def test_without_workloads_there_is_nothing_to_read(build: Callable[..., Any], options: Any) -> None:
    with pytest.raises(InvalidInput, match="no workloads are given"):
        build(options[0], **options[1])


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def application(context: Context) -> Context:
    """Let commands run as children of the test itself."""

    def execute(workload: str, argv: Sequence[str], deadline: Deadline) -> Finished:
        if workload == "worker":
            raise NotFound("no instance runs", where=workload)
        return run(argv, deadline, ok=None)

    context.workloads = ["web"]
    context.execute_in = execute
    return context


def printing(text: str, rc: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({rc})"]


@pytest.mark.parametrize(
    ("output", "expect", "answer", "detail"),
    [
        ('{"FLAG": false}', {"FLAG": False}, "pass", "FLAG is false"),
        ('{"FLAG": "off"}', {"FLAG": False}, "pass", "FLAG is false"),
        ('{"FLAG": true}', {"FLAG": False}, "fail", "FLAG is true instead of false"),
        ('{"OTHER": false}', {"FLAG": False}, "unknown", "FLAG is missing"),
        ('{"FLAG": null}', {"FLAG": False}, "unknown", "FLAG is missing"),
        ('{"FLAG": ""}', {"FLAG": False}, "unknown", "FLAG is '' (no boolean word)"),
        ('{"flags": {"FLAG": false}, "version": "1.2"}', {"flags.FLAG": False, "version": "1.2"}, "pass", None),
        ('warning: x\n{"FLAG": true}\n{"FLAG": false}\nbye', {"FLAG": False}, "pass", "FLAG is false"),
        ('{\n  "FLAG": false\n}', {"FLAG": False}, "pass", "FLAG is false"),
        ("False", {"FLAG": False}, "unknown", "the command printed no JSON object"),
        ("[false]", {"FLAG": False}, "unknown", "the command printed no JSON object"),
        ("", {"FLAG": False}, "unknown", "the command printed no JSON object"),
    ],
)
def test_settings(
    ask: Callable[..., Any], application: Context, output: str, expect: Any, answer: str, detail: str | None
) -> None:
    seen = ask("settings", argv=printing(output), expect=expect)
    assert (seen.answer, seen.detail if detail is not None else None) == (answer, detail)


def test_a_command_that_fails_is_an_error_even_when_it_printed_the_right_answer(
    ask: Callable[..., Any], application: Context
) -> None:
    seen = ask("settings", argv=printing('{"FLAG": false}', rc=3), expect={"FLAG": False})
    assert (seen.answer, "the command ended with 3" in seen.detail) == ("error", True)


def test_a_command_that_hangs_is_killed(ask: Callable[..., Any], application: Context) -> None:
    seen = ask("settings", seconds=0.3, argv=[sys.executable, "-c", "import time; time.sleep(60)"], expect={"F": 1})
    assert (seen.answer, "was killed" in seen.detail) == ("error", True)


def test_no_instance_to_run_in_is_an_error(ask: Callable[..., Any], application: Context) -> None:
    application.workloads = ["web", "worker"]
    assert ask("settings", workload="worker", argv=["x"], expect={"F": 1}).answer == "error"


def test_the_calls_flags_are_what_is_expected_when_nothing_else_is_said(
    ask: Callable[..., Any], application: Context
) -> None:
    application.flags = {"FLAG": True}
    seen = ask("settings", argv=printing('{"FLAG": false}'))
    assert (seen.answer, seen.detail) == ("fail", "FLAG is false instead of true")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"argv": ["x"], "workload": "web"}, "no flags are given"),
        ({"argv": [], "expect": {"F": 1}}, "needs the option 'argv'"),
        ({"argv": ["x"], "expect": "absent", "workload": "web"}, "expect must be a dict"),
        ({"argv": ["x"], "expect": {"F": 1}}, "it must say in which workload to run"),
        ({"argv": ["x"], "expect": {"F": 1}, "workload": "beat"}, "there is no workload 'beat'"),
    ],
)
def test_wrong_options_of_settings(
    build: Callable[..., Any], application: Context, options: dict[str, Any], sentence: str
) -> None:
    application.workloads = ["web", "worker"]
    with pytest.raises(InvalidInput) as caught:
        build("settings", **options)
    assert sentence in str(caught.value)
