# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that a change is made under."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``lock_file``, ``lock_lease`` and ``run_id``, as the module ``run_lock`` returns them."""

    DOCUMENTATION = r"""
options:
  lock_file:
    description:
      - The lock file of M(dualwrite.rollback.run_lock). Nothing is changed when it exists and another run than
        O(run_id) holds it.
    type: path
  lock_lease:
    description:
      - The Lease of M(dualwrite.rollback.run_lock), where the lock is one. Nothing is changed when it exists and
        another run than O(run_id) holds it.
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
        description: The namespace of the Lease.
        type: str
        required: true
      name:
        description: The name of the Lease.
        type: str
        required: true
  run_id:
    description: The run that makes this change; required with O(lock_file) and O(lock_lease).
    type: str
"""
