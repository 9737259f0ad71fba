# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = """
name: phases
type: stdout
short_description: One short line per phase of a rollback, with the time spent of its budget
version_added: 0.1.0
description:
  - Prints one line for what each module of this collection did on each host, with the seconds since the command was
    given and the run's budget.
  - Other tasks are silent unless they fail or are unreachable. With C(-v) they get a short line, with C(-vvv) the
    output is that of the callback C(ansible.builtin.default).
  - What M(dualwrite.rollback.flag_info) read on all hosts is shown as one table at the end, the plan of
    M(dualwrite.rollback.triage) at once.
  - Ends with the outcome, where the report lies, and a sentence for each host that is not proved.
author: dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  budget:
    description: Seconds to show as the budget until the run has said its own.
    type: float
    default: 300
    env:
      - name: DUALWRITE_BUDGET
    ini:
      - section: callback_dualwrite_phases
        key: budget
requirements:
  - set as stdout_callback in the configuration
"""

import os
import time

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_table import table
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import seconds_alive

OURS = "dualwrite.rollback."
PHASES = {
    "backup_info": "backups",
    "backup_restore": "restore",
    "drill": "drill",
    "drill_fault": "fault",
    "drill_status": "drills",
    "flag": "flag",
    "flag_info": "read",
    "health_probe": "verify",
    "notify": "notify",
    "run_answers": "answers",
    "run_lock": "lock",
    "run_record": "record",
    "sql_baseline": "baseline",
    "sql_cleanup": "cleanup",
    "sql_undo_cleanup": "undo",
    "triage": "triage",
    "workload": "workload",
}
ON_CONTROLLER = ("run_record", "notify", "drill")
#: what these say is told line by line, as it is
WITH_LINES = ("triage", "run_record", "drill_status")
EVERYTHING = 3
MARKS = ("DRIFT", "UNKNOWN")
#: what went well in these is told with -v only
QUIET = ("add", "answers")


class CallbackModule(Default):
    """Lines instead of pages; everything that is not overridden here is the default callback's."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "dualwrite.rollback.phases"

    def __init__(self):
        super().__init__()
        self._zero = time.monotonic() - seconds_alive(os.getpid())
        self._budget = None
        self._opened = None
        self._closed = None
        self._all_closed = []
        self._not_told = []
        self._said = {}
        self._flags = {}
        self._width = 10

    # -- what is said ----------------------------------------------------------------------------------------------

    def v2_runner_on_ok(self, result):
        if self._all():
            return super().v2_runner_on_ok(result)
        data = _data(result)
        if "results" in data and _task(result).loop:
            return None
        self._handle_warnings(data)
        return self._tell(result, data)

    def v2_runner_item_on_ok(self, result):
        if self._all():
            return super().v2_runner_item_on_ok(result)
        data = _data(result)
        self._handle_warnings(data)
        return self._tell(result, data)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if self._all():
            return super().v2_runner_on_failed(result, ignore_errors)
        data = _data(result)
        if "results" in data and _task(result).loop:
            return None
        self._handle_warnings(data)
        return self._tell_failure(result, data, "ignored" if ignore_errors else "")

    def v2_runner_item_on_failed(self, result):
        if self._all():
            return super().v2_runner_item_on_failed(result)
        data = _data(result)
        return self._tell_failure(result, data, f"item {self._get_item_label(data)}")

    def v2_runner_on_unreachable(self, result):
        if self._all():
            return super().v2_runner_on_unreachable(result)
        data = _data(result)
        words = _one_line(data.get("msg") or "no reason was given")
        self._said.setdefault(_host(result), []).append(words)
        return self._line("UNREACH", _host(result), words, C.COLOR_UNREACHABLE, stderr=self._stderr())

    def v2_on_file_diff(self, result):
        if self._all():
            return super().v2_on_file_diff(result)
        data = _data(result)
        for one in data.get("results") or [data] if _task(result).loop else [data]:
            diff = self._get_diff(one["diff"]) if one.get("diff") and one.get("changed") else ""
            if diff:
                self._display.display(diff.rstrip("\n"))
        return None

    def v2_playbook_on_stats(self, stats):
        if self._all():
            return super().v2_playbook_on_stats(stats)
        failed = dict((self._closed or {}).get("failed_hosts") or {})
        for host in sorted(stats.processed):
            if stats.failures.get(host) or stats.dark.get(host):
                failed.setdefault(host, (self._said.get(host) or ["failed"])[-1])
        for line in ["", *table(self._flags)] if self._flags else []:
            self._display.display(line, color=C.COLOR_ERROR if line.endswith(MARKS) else None)
        for closed in self._all_closed:
            color = C.COLOR_OK if closed.get("ok") and not failed else C.COLOR_ERROR
            self._display.display("")
            self._display.display(str(closed.get("summary", "")), color=color)
            report = (closed.get("files") or {}).get("incident.html")
            if report:
                self._display.display(f"report: {report}")
        for problem in self._not_told:
            self._display.display(f"not told: {_one_line(problem)}", color=C.COLOR_ERROR)
        if self._opened and not self._closed and not self._opened.get("check_mode"):
            self._display.display(
                f"\nthe run was not closed, its record lies in {self._opened.get('path')}", color=C.COLOR_ERROR
            )
        for host, sentence in failed.items():
            said = _one_line(sentence) if self._closed else "failed, see above"
            self._display.display(f"not proved: {host}: {said}", color=C.COLOR_ERROR)
        return None

    # -- what is silent --------------------------------------------------------------------------------------------

    def v2_playbook_on_play_start(self, play):
        if self._all():
            super().v2_playbook_on_play_start(play)
        else:
            self._play = play

    def v2_playbook_on_task_start(self, task, is_conditional):
        if self._all():
            super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task):
        if self._all():
            super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_skipped(self, result):
        if self._all():
            super().v2_runner_on_skipped(result)
        elif self._display.verbosity:
            self._line("skipped", _host(result), _task(result).get_name().strip(), C.COLOR_SKIP)

    def v2_runner_item_on_skipped(self, result):
        if self._all():
            super().v2_runner_item_on_skipped(result)

    def v2_runner_on_start(self, host, task):
        if self._all():
            super().v2_runner_on_start(host, task)

    def v2_runner_retry(self, result):
        if self._all():
            super().v2_runner_retry(result)
        elif _ours(_task(result)) and _data(result).get("phase") == "progress":
            self._tell(result, _data(result))

    def v2_playbook_on_include(self, included_file):
        if self._all():
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_no_hosts_remaining(self):
        if self._all():
            super().v2_playbook_on_no_hosts_remaining()

    def v2_playbook_on_no_hosts_matched(self):
        self._display.display("no hosts matched: nothing was done", color=C.COLOR_ERROR)

    # -- how it is said --------------------------------------------------------------------------------------------

    def _all(self):
        return self._display.verbosity >= EVERYTHING

    def _stderr(self):
        return bool(self.get_option("display_failed_stderr"))

    def _tell(self, result, data):
        task, host = _task(result), _host(result)
        name = _ours(task)
        self._remember(name, data, host)
        if name and not (data.get("phase") in QUIET and not self._display.verbosity):
            words = str(data.get("summary") or ("hidden by no_log" if "censored" in data else task.get_name()))
            check = "(check) " if task.check_mode and "check mode" not in words else ""
            color = C.COLOR_CHANGED if data.get("changed") else C.COLOR_OK
            color = C.COLOR_ERROR if data.get("not_told") else color
            where = "controller" if name in ON_CONTROLLER and data.get("phase") != "add" else host
            self._line(str(data.get("phase") or PHASES.get(name, name)), where, check + _one_line(words), color)
            for line in data.get("lines") or [] if name in WITH_LINES else []:
                self._display.display(f"    {line}")
        elif self._display.verbosity and not name:
            word = "changed" if data.get("changed") else "ok"
            self._line(word, host, task.get_name().strip(), C.COLOR_CHANGED if data.get("changed") else C.COLOR_OK)

    def _tell_failure(self, result, data, aside):
        task, host = _task(result), _host(result)
        name = _ours(task)
        self._remember(name, data, host)
        words = _one_line(data.get("msg") or data.get("censored") or "failed without a message")
        recap = (self._closed or {}).get("failed_hosts") or {}
        told = [*self._said.get(host, []), _one_line(recap[host]) if host in recap else ""]
        # a failure that was told, or that the recap tells, is not told twice
        if any(one and (one in words or words in one) for one in told) and not aside and name != "drill":
            return
        self._said.setdefault(host, []).append(words)
        where = f" ({aside})" if aside else ""
        label = PHASES.get(name) or "task"
        words = words if name else f"{task.get_name().strip()}: {words}"
        self._line(f"{label}", host, f"FAILED{where}: {words}", C.COLOR_ERROR, stderr=self._stderr())

    def _remember(self, name, data, host):
        if name == "flag_info" and data.get("workloads"):
            self._flags[host] = data
        if name == "notify":
            self._not_told += data.get("not_told") or []
        if name == "drill":
            self._flags.clear()  # what a drill has read before it changes something is no table to end with
        if name == "run_record" and data.get("phase") == "open":
            self._opened, self._closed, self._budget = data, None, data.get("budget")
        if name == "run_record" and data.get("phase") == "close":
            self._closed = data
            if data.get("outcome") != "check":
                self._all_closed.append(data)

    def _line(self, phase, host, words, color, stderr=False):
        budget = float(self._budget or self.get_option("budget") or 300)
        spent = time.monotonic() - self._zero
        self._width = min(28, max(self._width, len(host)))
        clock = f"[{spent:5.1f} s of {budget:.0f} s{' OVER BUDGET' if spent > budget else ''}]"
        self._display.display(f"{clock} {phase:<8} {host:<{self._width}}  {words}", color=color, stderr=stderr)


def _data(result):
    # ansible-core 2.19 and later offer the names without the underscore
    data = getattr(result, "result", None)
    return result._result if data is None else data


def _task(result):
    return getattr(result, "task", None) or result._task


def _host(result):
    return (getattr(result, "host", None) or result._host).get_name()


def _ours(task):
    """Return the short name of our module that a task runs, empty for any other."""
    for name in (getattr(task, "resolved_action", None), task.action):
        if str(name).startswith(OURS):
            return str(name)[len(OURS) :]
    return ""


def _one_line(words):
    # what ansible-core 2.19 and later put before their own sentences tells an operator nothing
    text = " ".join(str(words).split()).removeprefix("Task failed: ")
    return text if len(text) <= 600 else text[:599] + "…"
