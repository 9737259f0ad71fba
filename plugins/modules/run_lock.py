#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Let one run at a time change the flags of a host
version_added: 0.1.0
description:
  - Takes or gives back a lock where every operator's controller sees it, a file on the target host or, where workloads
    run in a Kubernetes cluster, a Lease in it.
  - Of any number of runs that ask at the same moment exactly one gets it. The others are told who holds it, why and
    since when, and the words to add to the command to take it over.
  - A lock is never taken over because of its age. A run takes over the locks in O(takeover_of), whose controller
    process is provably gone, and the one that the operator names in O(takeover).
author:
  - dualwrite.rollback contributors (@dualwrite)
attributes:
  check_mode:
    description: Can run in check mode; the lock is only read then.
    support: full
  diff_mode:
    description: Shows which run held the lock before and after.
    support: full
  idempotent:
    description: A second call with the same O(run_id) changes nothing.
    support: full
options:
  state:
    description:
      - V(present) takes the lock, V(absent) gives it back.
      - V(absent) never removes the lock of another run.
    type: str
    choices: [present, absent]
    default: present
  run_id:
    description: The run that wants or holds the lock.
    type: str
    required: true
  environment:
    description: The environment's name, written into the lock and used for the defaults of O(path) and O(lease).
    type: str
  kind:
    description:
      - What the lock is. With V(auto) it is a Lease where one of O(workloads) is of the platform kubernetes or O(lease)
        is given, else a file.
      - A host of that platform is often the controller itself, whose files no other operator sees.
    type: str
    choices: [auto, file, lease]
    default: auto
    version_added: 0.2.0
  path:
    description:
      - The lock file on the target host. Its folder is made when it is missing.
      - Defaults to C(/var/lib/dualwrite/<environment>.lock).
    type: path
  workloads:
    description:
      - The workloads of the host as M(dualwrite.rollback.flag) takes them. The first one of the platform kubernetes
        says where the Lease is, as far as O(lease) does not.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  lease:
    description: The Lease of the group C(coordination.k8s.io) that is the lock.
    type: dict
    version_added: 0.2.0
    suboptions:
      kubeconfig:
        description: The kubeconfig of the cluster, as kubectl finds it when not given.
        type: path
      context:
        description: The context of the kubeconfig, the current one when not given.
        type: str
      namespace:
        description: The namespace of the Lease, that of the first workload in a cluster when not given.
        type: str
      name:
        description: The name of the Lease, C(dualwrite-<environment>) when not given.
        type: str
  owner:
    description: Who started the run.
    type: str
  controller:
    description: The host that drives the run.
    type: str
  reason:
    description: Why the run was started, shown to whoever finds the lock.
    type: str
  takeover_of:
    description: Runs whose lock may be taken over because their controller process is provably gone.
    type: list
    elements: str
    default: []
  takeover:
    description: The run whose lock the operator takes over on purpose.
    type: str
"""

EXAMPLES = r"""
- name: Take the lock of this host
  dualwrite.rollback.run_lock:
    environment: staging
    run_id: "{{ run.run_id }}"
    owner: "{{ run.operator }}"
    controller: "{{ run.controller.host }}"
    reason: Requests fail since 18:00
    takeover_of: "{{ run.resumes }}"

- name: Take the lock of what runs in a cluster
  dualwrite.rollback.run_lock:
    environment: staging
    run_id: "{{ run.run_id }}"
    owner: "{{ run.operator }}"
    reason: Requests fail since 18:00
    lease:
      kubeconfig: /etc/dualwrite/kubeconfig
      namespace: shop

- name: Give it back
  dualwrite.rollback.run_lock:
    environment: staging
    run_id: "{{ run.run_id }}"
    state: absent
"""

RETURN = r"""
summary:
  description: One short line on what was done.
  returned: always
  type: str
  sample: locked for 20261123T103000123Z-rollback-dual-write-1f2e
lock_file:
  description: The lock file on the target host, null where the lock is a Lease.
  returned: always
  type: str
  sample: /var/lib/dualwrite/staging.lock
lock_lease:
  description: The Lease, as M(dualwrite.rollback.flag) takes it; null where the lock is a file.
  returned: always
  type: dict
  sample: {kubeconfig: null, context: staging, namespace: shop, name: dualwrite-staging}
taken_over:
  description: The lock of the other run that was replaced, null when there was none.
  returned: when O(state=present)
  type: dict
held_by:
  description:
    - The lock of another run.
    - With O(state=absent) it was left alone, with O(state=present) the call is refused.
  returned: when another run holds the lock
  type: dict
phase:
  description: The phase's short name, V(lock) or V(unlock).
  returned: always
  type: str
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import LEASE
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_lock import run_lock

SPEC = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "run_id": {"type": "str", "required": True},
        "environment": {"type": "str"},
        "kind": {"type": "str", "choices": ["auto", "file", "lease"], "default": "auto"},
        "path": {"type": "path"},
        "workloads": {"type": "list", "elements": "dict", "default": []},
        "lease": {"type": "dict", "options": LEASE},
        "owner": {"type": "str"},
        "controller": {"type": "str"},
        "reason": {"type": "str"},
        "takeover_of": {"type": "list", "elements": "str", "default": []},
        "takeover": {"type": "str"},
    },
    "required_one_of": [["environment", "path"]],
}


def main():
    run(run_lock, SPEC)


if __name__ == "__main__":
    main()
