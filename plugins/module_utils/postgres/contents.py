# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a database: its tables with their rows, and the constraints that hold them together."""

from __future__ import annotations

from .databases import Databases

_OURS = """
c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')
AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e')
"""
_COUNTED = f"""
SELECT (SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p', 'f') AND {_OURS}),
  (SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
   WHERE k.contype IN ('p', 'u', 'x', 'f') AND {_OURS}),
  (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE NOT i.indisvalid AND {_OURS})
"""
_ROWS = f"""
SELECT c.oid::regclass::text, greatest(c.reltuples, s.n_live_tup, 0)::bigint FROM pg_class c
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE c.relkind = 'r' AND {_OURS} ORDER BY 1
"""


def counted(inside: Databases) -> dict[str, int]:
    """Return how many tables, constraints (keys, foreign keys, exclusions) and invalid indexes a database has."""
    tables, constraints, invalid = inside.ask(_COUNTED)[0]
    return {"tables": int(tables), "constraints": int(constraints), "invalid_indexes": int(invalid)}


def rows(inside: Databases) -> dict[str, int]:
    """Return how many rows each table has, as the server estimates it."""
    return {str(table): int(number) for table, number in inside.ask(_ROWS)}


def analyze(inside: Databases) -> None:
    """Give the planner its statistics: a restored table has none."""
    inside.ask("ANALYZE")


def schemas(inside: Databases) -> set[int]:
    """Return the object ids of the schemas that are not the server's own."""
    listed = "SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    return {int(oid) for (oid,) in inside.ask(listed)}


def emptied(inside: Databases) -> str:
    """Return the SQL that removes all that is in a database and leaves schema public as it is made and granted now.

    Raises RollbackError in the server's words.
    """
    from psycopg2 import sql

    schemas = inside.ask(
        "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace "
        "WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
    )
    grants = inside.ask(
        "SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type "
        "FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'public' AND a.grantee <> n.nspowner"
    )
    said: list[sql.Composable] = [sql.SQL("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")]
    for name, owner in schemas:
        said.append(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
        if name == "public":
            said.append(sql.SQL("CREATE SCHEMA public"))
            said += [
                sql.SQL("GRANT {} ON SCHEMA public TO {}").format(
                    sql.SQL(what), sql.SQL("PUBLIC") if who == "PUBLIC" else sql.Identifier(who)
                )
                for who, what in grants
            ]
            said.append(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(owner)))
    return str(sql.SQL(";\n").join(said).as_string(inside.link)) + ";\n"
