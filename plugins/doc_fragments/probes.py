# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes of one call, and what each kind of probe takes."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``probes``, ``first`` and ``last``, which take the same things."""

    DOCUMENTATION = r"""
options:
  probes:
    description: The probes to watch. None of them may write.
    type: list
    elements: dict
    required: true
    suboptions: &probe
      name:
        description: What the probe is called in evidence and messages. No two may have the same name.
        type: str
        required: true
      kind:
        description:
          - V(http) asks a URL; needs O(probes[].url).
          - V(log) searches log lines since a time; needs O(probes[].pattern) and one of O(probes[].paths),
            O(probes[].journal), O(probes[].command) and O(probes[].from_workloads).
          - V(metric) asks a Prometheus server; needs O(probes[].url), O(probes[].query) and a limit.
          - V(process_env) reads the flags of every running instance of O(workloads).
          - V(settings) runs O(probes[].argv) in the environment of a running instance.
          - V(sql) asks PostgreSQL in a READ ONLY transaction; needs O(probes[].query) and what is expected.
        type: str
        required: true
        choices: [http, log, metric, process_env, settings, sql]
      hold:
        description: Seconds for which this probe must pass without a break, instead of O(hold).
        type: float
      once:
        description: Whether one pass is enough, after which the probe is not asked again.
        type: bool
        default: false
      final:
        description: Whether one V(fail) is enough, after which the watch ends without waiting for the probe to pass.
        type: bool
        default: false
        version_added: 0.2.0
      timeout:
        description: Seconds that one answer may take.
        type: float
        default: 10
      url:
        description:
          - B(http) What to ask. C({name}) in it stands for a value that an earlier probe remembered.
          - B(metric) The Prometheus server, with its path prefix if it has one.
          - A user or password in it is refused; see O(probes[].headers_from).
        type: str
      method:
        description: B(http) The method, V(GET) when not given. Any but V(GET) and V(HEAD) makes it a probe that writes.
        type: str
        choices: [GET, HEAD, POST, PUT, PATCH, DELETE]
      headers:
        description: B(http, metric) Header values. Secrets are refused here; see O(probes[].headers_from).
        type: dict
      headers_from:
        description:
          - B(http, metric) Headers whose values stand in files on the asking host, as header to a dict with C(file)
            and, if the value needs one, C(prefix).
        type: dict
      body:
        description: B(http) Sent as JSON.
        type: raw
      status:
        description: B(http) The right status codes, V([200]) when not given. Redirects are answers and not followed.
        type: list
        elements: int
      json:
        description:
          - B(http) Dotted path in the JSON answer to expected value, list indexes too (V(checks.0.state)).
          - A path that is missing is V(unknown), an answer that is no JSON is V(fail).
        type: dict
      remember:
        description: B(http) Name to dotted path of a JSON value that later probes may use in their O(probes[].url).
        type: dict
      max_latency:
        description: B(http) Seconds from connecting to the answer's last byte.
        type: float
      ca_cert:
        description: B(http, metric) PEM file of the CA to trust instead of those of the system.
        type: path
      validate_certs:
        description: B(http, metric) Whether TLS certificates are verified, which they are when this is not given.
        type: bool
      paths:
        description:
          - B(log) Log files, globs allowed. Rotated siblings (renamed, dated, compressed, copied and truncated) are
            found by themselves, also when a rotation happens during the watch.
        type: list
        elements: path
      journal:
        description: B(log) The systemd unit whose journal is read.
        type: str
      command:
        description: B(log) Argv that prints the log. C({since}) in it stands for the time from which lines are wanted.
        type: list
        elements: str
      from_workloads:
        description:
          - B(log) Names of workloads of O(workloads) whose own logs are read, those of all instances that are there (of
            pods and containers what they write to stdout and stderr).
          - Each of them must have said something since then, and something that matches O(probes[].alive_pattern) if
            that is given. One that need not run and doesn't run is left out.
          - What an instance wrote that is gone can't be read any more. Let the time begin when a roll has ended.
        type: list
        elements: str
        version_added: 0.2.0
      pattern:
        description: B(log) Regular expression (Python) that is searched in each line.
        type: str
      alive_pattern:
        description:
          - B(log) Regular expression of a sign of life. Without a line that matches it, or without any line when it is
            not given, silence is V(unknown).
        type: str
      expect:
        description:
          - B(log) V(absent) (when not given), V(present), or a dict with C(min) and C(max) matching lines.
          - B(settings) Dict of setting (dotted path) to expected value, O(flags) when not given. Booleans are read with
            O(boolean_words).
        type: raw
      since:
        description: B(log) ISO 8601 time from which lines count, instead of O(since).
        type: str
      history:
        description: B(log) Seconds before the since time from which matches per second are returned.
        type: float
      time_field:
        description: B(log) Field of JSON lines with the line's time (dotted). The usual names are found by themselves.
        type: str
      time_regexp:
        description: B(log) Regular expression whose first group is the line's time, for unusual lines.
        type: str
      time_zone:
        description: B(log) Zone of times that name none, V(UTC) when not given; V(local) or a name as V(Asia/Dhaka).
        type: str
      workloads:
        description: B(process_env) Names of the workloads to read, all of O(workloads) when not given.
        type: list
        elements: str
      flags:
        description: B(process_env) Flags and the booleans that every instance must hold, O(flags) when not given.
        type: dict
      workload:
        description: B(settings) In whose environment, folder and user to run, the only workload when not given.
        type: str
      argv:
        description: B(settings) The command. The last line of its output that is a JSON object counts.
        type: list
        elements: str
      query:
        description:
          - B(sql) One reading statement. The first column of its first row is the value.
          - B(metric) PromQL whose answer is one number.
        type: str
      parameters:
        description: B(sql) Values for V(%(name\)s) in the query.
        type: dict
      equals:
        description: B(sql) The right value.
        type: raw
      min:
        description: B(sql, metric) The lowest right value.
        type: float
      max:
        description: B(sql, metric) The highest right value.
        type: float
      change:
        description:
          - B(sql) How the value may move against O(probes[].baseline), which is V(none), V(increase), or a dict with
            C(min) and C(max) of the difference.
        type: raw
      baseline:
        description: B(sql) What O(probes[].change) compares with. When not given, the value before O(first) was asked.
        type: raw
      baseline_query:
        description: B(metric) PromQL of the number to compare with, O(probes[].query) when not given.
        type: str
      baseline_offset:
        description: B(metric) Seconds to go back in time for the number to compare with.
        type: float
      baseline_at:
        description: B(metric) Time (ISO 8601) of the number to compare with, for instance the start of a run.
        type: str
        version_added: 0.2.0
      min_ratio:
        description: B(metric) The lowest right multiple of the baseline.
        type: float
      max_ratio:
        description: B(metric) The highest right multiple of the baseline.
        type: float
      max_increase:
        description:
          - B(metric) How much higher than the baseline the metric may be. Of use where the baseline may be 0, of which
            there is no multiple.
        type: float
        version_added: 0.2.0
  first:
    description:
      - Probes that are asked once each, in this order, before the watch. They may write, a canary for instance.
      - When one does not pass, O(probes) are still asked once, for the evidence.
    type: list
    elements: dict
    default: []
    suboptions: *probe
  last:
    description: Probes that are asked once each, in this order, at the end, whatever happened before. They may write.
    type: list
    elements: dict
    default: []
    suboptions: *probe
"""
