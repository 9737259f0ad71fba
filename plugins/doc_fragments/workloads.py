# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workloads that hold flags, and how their processes read a boolean."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``workloads`` and ``boolean_words``."""

    DOCUMENTATION = r"""
options:
  workloads:
    description:
      - Everything on this host that holds the flags in its processes, workers and schedulers included.
      - An empty list is refused, because nothing looked at proves nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the workload in results and error messages.
        type: str
        required: true
      platform:
        description: How the workload runs on the host.
        type: str
        required: true
      options:
        description:
          - What the platform needs to know about the workload. An option the platform does not know is refused.
          - >-
            Platforms V(pidfile) and V(systemd): C(roll), the ways to make new values live, in the order in which they
            are tried (V(reload), V(restart), default V([restart])); C(reload_signal) (default V(HUP)) and
            C(reload_timeout) (seconds that a reload may take until all instances hold the values, default V(10));
            C(state_file), the path with C({pid}) in it where the application writes the flags it holds, for
            applications that take new values without a new process; C(instance_match), a regular expression of the
            command lines that count as instances (default all); C(stable_for), seconds that a started workload must
            live (default V(1)); C(may_be_stopped), whether a workload that does not run is no failure (default
            V(false)).
          - >-
            Platform V(pidfile): C(pidfile), C(env_file), C(env_format) (V(dotenv) or V(systemd), default V(dotenv)),
            C(start_command) (a list or a text, needed for V(restart)), C(start_timeout) (seconds until it has written
            the pidfile, default V(30)), C(start_env_file) (whether the start command
            gets what the env file holds in its environment, default V(false)), C(chdir), C(user), C(cmdline_match)
            (a regular expression that the command line must match, so that a stale pidfile never hits a stranger),
            C(stop_signal) (default V(TERM)), C(kill_after) (seconds after which C(SIGKILL) follows, default never),
            C(log_file).
          - >-
            Platform V(systemd): C(unit), the name of one unit, or a pattern (V(shop-web@*.service)) that makes all
            units that it finds one workload, those that lack a value restarted all at once; C(scope) (V(system) or
            V(user), default V(system)); C(user), the user whose own service manager runs the unit, whose files are read
            and written with the rights of that user alone (needs root; without it V(scope=user) means the user who runs
            the task); C(env_file) (which of the unit's C(EnvironmentFile=) gets a flag that is declared nowhere yet).
          - >-
            Platform V(compose), one service of a Docker Compose project (Compose v2; needs PyYAML on the host):
            C(project_src), the project's folder; C(service); C(files), C(project_name), C(env_files) and C(profiles),
            as they are given to C(docker compose), by default what Compose itself finds in the folder;
            C(shared_with), a list of services that take their value from the same place (an anchor, an env file) and
            may change with it (any other service that is no workload of the call makes the change be refused);
            C(env_file), which of the service's C(env_file) gets a flag that is declared nowhere yet; C(docker_host);
            C(docker_cli) (default V(docker)); C(wait_timeout), seconds until started containers run and are healthy
            (default V(60)); C(instance_match), C(stable_for) and C(may_be_stopped) as above. New values take new
            containers, so C(roll) is V([recreate]); the containers of other services are not touched. When
            the name of the image was given to another one since they were made, the change is refused: a new container
            would deploy that.
          - >-
            Platform V(kubernetes), objects of a cluster (needs the Python package kubernetes): C(kubeconfig) and
            C(context) as kubectl takes them; C(namespace); C(kind) (V(Deployment), V(StatefulSet), V(DaemonSet) or
            V(CronJob), default V(Deployment)); C(name), or C(label_selectors), a list; C(containers), the names of
            those that carry the flags (default all that declare one); C(shared_with), a list of objects that take
            their value from the same place and may change with it; C(override), whether a flag goes into the pod
            template where its source must not be edited; C(roll_over), whether somebody else's roll is no obstacle;
            C(pause_managers), whether Argo CD and Flux are paused while a flag is not as they declare it, and while the
            workload is stopped (default V(false)), and C(argocd_namespace), where the Applications are;
            C(wait_timeout), seconds until new pods are available and old ones are gone (default V(600));
            C(instance_match), C(stable_for) and C(may_be_stopped) as above.
        type: dict
        default: {}
  boolean_words:
    description:
      - The words that the application takes for true and for false, the one to write first. Case does not matter.
      - Any other text, and a missing value, is unknown, and unknown never passes.
    type: dict
    default: {}
    suboptions:
      "true":
        description: Words for true.
        type: list
        elements: str
        default: ["true", "1", "yes", "on"]
      "false":
        description: Words for false.
        type: list
        elements: str
        default: ["false", "0", "no", "off"]
"""

    #: of a module that needs workloads for some of its probes only; to be named before the one above
    PROBED = r"""
options:
  workloads:
    description: What holds the flags on this host, in the form of M(dualwrite.rollback.flag). Needed by probes of the
      kinds V(process_env) and V(settings), and of the kind V(log) that read the workloads' own logs.
    type: list
    elements: dict
    required: false
    default: []
    suboptions:
      name:
        description: The name of the workload in results and error messages.
        type: str
        required: true
      platform:
        description: How the workload runs on the host.
        type: str
        required: true
      options:
        description: What the platform needs to know, as in M(dualwrite.rollback.flag).
        type: dict
        default: {}
"""
