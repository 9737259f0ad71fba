# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of module specs, merged: one place for options that several modules share.

A piece is the keyword arguments of AnsibleModule (``argument_spec`` and constraints such as ``required_together``).
The documentation of each piece is the doc fragment of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .core.booleans import FALSE_WORDS, TRUE_WORDS

Spec = dict[str, Any]

WORKLOADS: Spec = {
    "argument_spec": {
        "workloads": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "platform": {"type": "str", "required": True},
                "options": {"type": "dict", "default": {}},
            },
        },
        "boolean_words": {
            "type": "dict",
            "default": {},
            "options": {
                "true": {"type": "list", "elements": "str", "default": list(TRUE_WORDS)},
                "false": {"type": "list", "elements": "str", "default": list(FALSE_WORDS)},
            },
        },
    }
}

DEADLINE: Spec = {"argument_spec": {"timeout": {"type": "float", "default": 120}}}

#: what finds a Lease in a cluster; the module run_lock finds out itself what it is not told
LEASE: Spec = {
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "namespace": {"type": "str"},
    "name": {"type": "str"},
}

LOCK: Spec = {
    "argument_spec": {
        "lock_file": {"type": "path"},
        "lock_lease": {
            "type": "dict",
            "options": {
                **LEASE,
                "namespace": {"type": "str", "required": True},
                "name": {"type": "str", "required": True},
            },
        },
        "run_id": {"type": "str"},
    },
    "required_by": {"lock_file": ["run_id"], "lock_lease": ["run_id"]},
}

POSTGRES: Spec = {
    "argument_spec": {
        "login_host": {"type": "str"},
        "login_port": {"type": "int"},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "login_db": {"type": "str"},
        "login_unix_socket": {"type": "path"},
        "ssl_mode": {
            "type": "str",
            "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_cert": {"type": "path"},
        "service": {"type": "str"},
        "passfile": {"type": "path", "no_log": False},
    },
    "mutually_exclusive": [["login_password", "passfile"], ["login_host", "login_unix_socket"]],
}

_PROBE: Spec = {
    "name": {"type": "str", "required": True},
    "kind": {
        "type": "str",
        "required": True,
        "choices": ["http", "log", "metric", "process_env", "settings", "sql"],
    },
    "hold": {"type": "float"},
    "once": {"type": "bool", "default": False},
    "final": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 10},
    "url": {"type": "str"},
    "method": {"type": "str", "choices": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]},
    "headers": {"type": "dict"},
    "headers_from": {"type": "dict"},
    "body": {"type": "raw"},
    "status": {"type": "list", "elements": "int"},
    "json": {"type": "dict"},
    "remember": {"type": "dict"},
    "max_latency": {"type": "float"},
    "ca_cert": {"type": "path"},
    "validate_certs": {"type": "bool"},
    "paths": {"type": "list", "elements": "path"},
    "journal": {"type": "str"},
    "command": {"type": "list", "elements": "str"},
    "from_workloads": {"type": "list", "elements": "str"},
    "pattern": {"type": "str"},
    "alive_pattern": {"type": "str"},
    "expect": {"type": "raw"},
    "since": {"type": "str"},
    "history": {"type": "float"},
    "time_field": {"type": "str"},
    "time_regexp": {"type": "str"},
    "time_zone": {"type": "str"},
    "workloads": {"type": "list", "elements": "str"},
    "flags": {"type": "dict"},
    "workload": {"type": "str"},
    "argv": {"type": "list", "elements": "str"},
    "query": {"type": "str"},
    "parameters": {"type": "dict"},
    "equals": {"type": "raw"},
    "min": {"type": "float"},
    "max": {"type": "float"},
    "change": {"type": "raw"},
    "baseline": {"type": "raw"},
    "baseline_query": {"type": "str"},
    "baseline_offset": {"type": "float"},
    "min_ratio": {"type": "float"},
    "max_ratio": {"type": "float"},
}

PROBES: Spec = {
    "argument_spec": {
        stage: {"type": "list", "elements": "dict", "options": _PROBE, **more}
        for stage, more in (("probes", {"required": True}), ("first", {"default": []}), ("last", {"default": []}))
    }
}

MATRIX: Spec = {
    "argument_spec": {
        "symptoms": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "symptom": {"type": "str", "required": True},
                "probes": {"type": "list", "elements": "dict", "required": True},
            },
        },
        "matrix": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "symptom": {"type": "str", "required": True},
                "label": {"type": "str"},
                "urgency": {"type": "str", "required": True, "choices": ["immediate", "high", "medium", "low"]},
                "reason": {"type": "str"},
                "steps": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": {
                        "scenario": {"type": "str"},
                        "person": {"type": "str"},
                        "if_still": {"type": "bool", "default": False},
                    },
                },
            },
        },
    }
}


def optional(piece: Mapping[str, Any], *names: str) -> Spec:
    """Return a copy of a piece in which the lists ``names`` need not be given and are empty then."""
    options = dict(piece["argument_spec"])
    for name in names:
        options[name] = {**options[name], "required": False, "default": []}
    return {**piece, "argument_spec": options}


def merge(*pieces: Mapping[str, Any], **own: Any) -> Spec:
    """Return one spec of shared ``pieces`` and a module's ``own`` options.

    The argument specs are joined, constraint lists are appended. Raises ValueError when an option is given twice.
    """
    merged: Spec = {"argument_spec": {}}
    for piece in (*pieces, {"argument_spec": own}):
        for key, value in piece.items():
            if key == "argument_spec":
                twice = sorted(set(merged[key]) & set(value))
                if twice:
                    raise ValueError(f"option given twice: {', '.join(twice)}")
                merged[key].update(value)
            elif isinstance(value, list):
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged
