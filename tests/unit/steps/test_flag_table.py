"""One table of flags, workloads and instances over all hosts."""

from __future__ import annotations

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_table import table


def of(declared: str | None, value: bool | None, *effective: str | None, drift: bool = False) -> dict:
    held = {f"worker {number}": one for number, one in enumerate(effective)}
    return {"declared": declared, "value": value, "effective": held, "drift": drift, "running": bool(effective)}


def test_every_flag_of_every_workload_has_a_line_and_the_columns_stand_below_each_other() -> None:
    web = {"A": of("true", True, "true", "true"), "B": of("false", False, "true", "false", drift=True)}
    found = {"web-1": {"workloads": {"web": web}}, "w2": {"workloads": {"worker": {"A": of("on", True)}}}}
    assert table(found) == [
        "host   workload  flag  declared  effective",
        "web-1  web       A     true      true x 2",
        "web-1  web       B     false     true x 1, false x 1  DRIFT",
        "w2     worker    A     on        -                    does not run",
    ]


def test_what_is_missing_is_said() -> None:
    found = {"h": {"workloads": {"web": {"A": of(None, None, None, drift=True), "B": of("maybe", None, "maybe")}}}}
    assert [line.split()[3:] for line in table(found)[1:]] == [
        ["(missing)", "(missing)", "x", "1", "DRIFT"],
        ["maybe", "maybe", "x", "1", "UNKNOWN"],
    ]


def test_nothing_read_is_no_table() -> None:
    assert table({}) == table({"web-1": {}}) == []
