# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction has touched by the server's own count, and whether it is what was meant."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, astuple, dataclass

from .session import Session


@dataclass(frozen=True)
class Touched:
    """How many rows of one table were inserted, updated and deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def __add__(self, other: Touched) -> Touched:
        """Return both together."""
        return Touched(*(one + two for one, two in zip(astuple(self), astuple(other))))

    def __sub__(self, other: Touched) -> Touched:
        """Return what has come to the other since."""
        return Touched(*(one - two for one, two in zip(astuple(self), astuple(other))))


_NONE = Touched()


def so_far(session: Session) -> dict[int, Touched]:
    """Return rows touched by this transaction, per table, triggers and cascades included.

    What the session touched in an earlier one may be among them, so that only a difference tells.
    """
    return {
        oid: Touched(*counts)
        for oid, *counts in session.rows(
            "SELECT coalesce(pg_partition_root(s.relid), s.relid)::bigint, sum(n_tup_ins)::bigint,"
            " sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint"
            " FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = s.relid"
            " WHERE c.relpersistence <> 't' GROUP BY 1 HAVING sum(n_tup_ins + n_tup_upd + n_tup_del) > 0"
        )
    }


def others(session: Session, before: Mapping[int, Touched], meant: Mapping[int, Touched], spared: Set[int]) -> str:
    """Return which tables were touched otherwise than meant since ``before``, and how; empty when none was."""
    now = so_far(session)
    told = []
    for oid in sorted({*now, *meant} - spared):
        seen, wanted = now.get(oid, _NONE) - before.get(oid, _NONE), meant.get(oid, _NONE)
        if seen != wanted:
            name = session.one("SELECT %s::oid::regclass::text", (oid,))
            words = ", ".join(
                f"{count} rows {word} instead of {expected}"
                for word, count, expected in zip(asdict(seen), astuple(seen), astuple(wanted))
                if count != expected
            )
            told.append(f"{name}: {words}")
    return "; ".join(told)
