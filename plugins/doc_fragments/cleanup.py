# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is removed, what hangs on it, and what must hold."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of sql_cleanup."""

    DOCUMENTATION = r"""
options:
  root:
    description: The table whose rows are the test data, and which of them.
    type: dict
    required: true
    suboptions:
      table:
        description: The table, C(schema.table) as it stands in the catalog, C("odd.name") in double quotes.
        type: str
        required: true
      match:
        description: Which rows are meant. All that is given must hold, and patterns or ids must be given.
        type: dict
        required: true
        suboptions: &match
          patterns:
            description: What the text of a column is like. Any one of the patterns will do.
            type: list
            elements: dict
            suboptions: &patterns
              column:
                description: The column.
                type: str
                required: true
              like:
                description: A pattern of SQL's LIKE, with C(%) and C(_). One that every row meets is refused.
                type: str
              starts_with:
                description: What the text begins with, letter by letter.
                type: str
              equals:
                description: The whole text.
                type: str
              ignore_case:
                description: Whether capital and small letters are the same.
                type: bool
                default: false
          ids:
            description: Primary keys; a composite one is a list of its values.
            type: list
            elements: raw
          created:
            description: A window of time.
            type: dict
            suboptions:
              column:
                description: The column that says when the row was made.
                type: str
                required: true
              after:
                description: The first moment, included; UTC when it has no offset.
                type: str
              before:
                description: The last moment, not included.
                type: str
          exclude:
            description: Rows that are never meant.
            type: dict
            suboptions:
              patterns:
                description: What the text of a column is like. Any one of the patterns will do.
                type: list
                elements: dict
                suboptions: *patterns
              ids:
                description: Primary keys; a composite one is a list of its values.
                type: list
                elements: raw
  tables:
    description:
      - Further tables whose rows go with the rows that they reference. In which order, and by which foreign keys, is
        read from the catalog. Rows of any other table that reference a row to be removed stop the cleanup.
    type: list
    elements: str
    default: []
  detach:
    description:
      - Tables whose rows stay and lose the reference, by a foreign key with ON DELETE SET NULL. The references are
        archived too.
    type: list
    elements: str
    default: []
  sensitive:
    description: Columns, C(column) or C(table.column), that are masked wherever rows are shown.
    type: list
    elements: str
    default: []
  linked:
    description:
      - Tables of the other model, whose rows are reached through a mapping. A row goes only when it is mapped to none
        but removed rows and bears the test's own mark (C(match)); else only its mapping goes.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: The table, C(schema.table) as it stands in the catalog, C("odd.name") in double quotes.
        type: str
        required: true
      key:
        description: The column that the mapping names; the primary key when not given.
        type: str
      match:
        description: The mark of the test's own rows, as in O(root).
        type: dict
        required: true
        suboptions: *match
      through:
        description: The mapping, which is removed with the rows of either side.
        type: dict
        required: true
        suboptions:
          table:
            description: The mapping's table.
            type: str
            required: true
          root_column:
            description: The column that names rows of O(root).
            type: str
            required: true
          linked_column:
            description: The column that names rows of the linked table.
            type: str
            required: true
          root_key:
            description: The root's column that the mapping names; the primary key when not given.
            type: str
  references:
    description: How rows name others without a foreign key, for instance in a queue, or by a content type and an id.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: The table, C(schema.table) as it stands in the catalog, C("odd.name") in double quotes.
        type: str
        required: true
      columns:
        description: The columns that name the other row.
        type: list
        elements: str
        required: true
      to:
        description: The table that is named.
        type: str
        required: true
      to_columns:
        description: Its columns; the primary key when not given.
        type: list
        elements: str
      where:
        description: Columns and the texts that they must have for the row to be a reference.
        type: dict
  guards:
    description: What must hold before anything is removed; all that does not is told at once.
    type: dict
    default: {}
    suboptions:
      max_rows:
        description: The most rows of all tables together, 10000 when not given.
        type: int
      max_share:
        description: The greatest part of the root's table, 0.5 when not given.
        type: float
      max_unindexed:
        description:
          - How many rows the server may have to read because a foreign key has no index (rows removed times rows of the
            referencing table), 10000000 when not given. The refusal names the index to make.
        type: float
      expected_count:
        description: How many rows of the root there are to be. None at all is always well, for a second run.
        type: int
      expected_ids:
        description: Exactly the rows of the root that there are to be, by its primary key; refused where it has none.
        type: list
        elements: raw
      expected_plan:
        description: The C(plan_digest) of a run in check mode; other rows in any table are refused.
        type: str
      every_row:
        description: Limits that every row to be removed must keep, for instance made after the test began.
        type: list
        elements: dict
        suboptions:
          table:
            description: The table, one of those that rows are removed from.
            type: str
            required: true
          column:
            description: The column; a row without a value does not keep the limit.
            type: str
            required: true
          min:
            description: The lowest value.
            type: str
          max:
            description: The highest value.
            type: str
  invariants:
    description:
      - Numbers that must not grow, each a C(query), one reading statement that counts something, and its C(name).
        They are asked before and after, inside the transaction.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it is called.
        type: str
        required: true
      query:
        description: The query.
        type: str
        required: true
  baseline_file:
    description: A baseline of M(dualwrite.rollback.sql_baseline); invariants may not be above its numbers.
    type: path
  protected:
    description: Whether a pattern alone is not enough, so that ids or an expected number must be given.
    type: bool
    default: true
  without_archive:
    description: Whether the rows are removed for good. Without it O(archives) must be given.
    type: bool
    default: false
  run_id:
    description: The run, which names the archive.
    type: str
"""
