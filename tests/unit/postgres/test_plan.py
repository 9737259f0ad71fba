"""Who goes with whom, and in which order, from values alone."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.catalog import Column, Reference, Table
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.plan import Link, groups, make
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.statements import table_name


def reference(child: int, parent: int, on_delete: str = "no action") -> Reference:
    return Reference(f"fk_{child}_{parent}", child, ("up",), parent, ("id",), on_delete)


def table(oid: int) -> Table:
    columns = (Column("id", "integer"), Column("up", "integer"))
    return Table(oid, "public", f"t{oid}", columns, ("id",), (("id",),), False, 10.0)


TABLES = {oid: table(oid) for oid in range(1, 7)}


@pytest.mark.parametrize(
    ("edges", "together"),
    [
        ([(1, 2), (2, 3)], [{3}, {2}, {1}]),
        ([(1, 1), (2, 1)], [{1}, {2}, {3}]),
        ([(1, 2), (2, 1), (3, 1)], [{1, 2}, {3}]),
        ([(1, 2), (2, 3), (3, 1)], [{1, 2, 3}]),
    ],
)
def test_parents_come_first_and_circles_together(edges: list[tuple[int, int]], together: list[set[int]]) -> None:
    found = [set(group) for group in groups([1, 2, 3], [reference(*edge) for edge in edges])]
    assert sorted(map(sorted, found)) == sorted(map(sorted, together))
    place = {oid: number for number, group in enumerate(found) for oid in group}
    assert all(place[parent] <= place[child] for child, parent in edges)


def test_what_is_covered_expands_and_all_else_guards() -> None:
    edges = [reference(2, 1), reference(3, 1), reference(4, 1, "set null"), reference(1, 1), reference(2, 2)]
    plan = make(1, [2], [], [4], TABLES, edges)
    assert [one.name for one in plan.expanding] == ["fk_2_1", "fk_2_2"]
    assert [one.name for one in plan.detached] == ["fk_4_1"]
    assert [one.name for one in plan.guarded] == ["fk_3_1", "fk_1_1"]


def test_a_mapping_without_foreign_keys_is_followed_all_the_same() -> None:
    link = Link(2, "id", 3, "new_id", "old_id", "id")
    plan = make(1, [], [link], [], TABLES, [])
    assert [(one.child, one.parent, one.soft) for one in plan.expanding] == [(3, 1, True), (3, 2, True)]
    assert {node.table.oid: node.role for node in plan.nodes.values()} == {1: "root", 2: "linked", 3: "with"}


@pytest.mark.parametrize(
    ("also", "detach", "words"),
    [([1], [], "is the root table"), ([5], [], "nothing leads to t5"), ([2], [3], "t3 can't be detached")],
)
def test_a_plan_that_can_not_be_is_refused(also: list[int], detach: list[int], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make(1, also, [], detach, TABLES, [reference(2, 1), reference(3, 1, "cascade")])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("team", ("", "team")),
        ("public.Team", ("public", "Team")),
        ('"odd.name"', ("", "odd.name")),
        ('"a ""b"""."c"', ('a "b"', "c")),
        ("ünï.cödé", ("ünï", "cödé")),
    ],
)
def test_names_are_taken_as_they_stand(text: str, name: tuple[str, str]) -> None:
    assert table_name(text, "tables") == name


@pytest.mark.parametrize("text", ["", "a.", ".b", "a.b.c", 'a"b', '"a"b', '"open'])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a table"):
        table_name(text, "tables")
