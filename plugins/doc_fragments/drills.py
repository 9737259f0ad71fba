# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drills there are, where their ledger lies, and what is made of it."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``exercises`` to ``junit``, of a drill and of its status."""

    DOCUMENTATION = r"""
options:
  exercises:
    description:
      - What drills there are, by name, laid over the shipped V(disable_dual_write) (Q1), V(disable_strict_mode) (Q2),
        V(cleanup_test_data) (Q3) and V(restore_backup) (Q4).
      - An exercise has C(quarter) (0 for none), C(scenario) (its name when not given), C(response) (V(scenario) or
        V(await)), C(flags) (what is set before), C(set_up) and C(put_back) (steps of
        M(dualwrite.rollback.drill_fault)), C(steady) and C(healed) (probes), C(timeout) and C(hold) of an V(await),
        C(budgets) (seconds by phase, and C(effect)), C(interval) (days), C(afterwards) (ways back, each with
        scenario, role and entry) and C(unusable) (why it can't be done in this environment).
    type: dict
    default: {}
  ledger:
    description: The folder of the ledger, with a folder per environment and a file per drill.
    type: path
    default: drills
  interval:
    description: Days after which an exercise of a quarter is overdue.
    type: int
    default: 365
  since:
    description: The day from which drills are asked for, as YYYY-MM-DD. Without it what never passed is overdue.
    type: str
  today:
    description: The day to take for today, as YYYY-MM-DD.
    type: str
  page:
    description: The file to write the history to, as one HTML page; none when not given.
    type: path
  junit:
    description: The file to write JUnit XML to; none when not given.
    type: path
"""
