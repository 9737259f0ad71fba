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

DRILLS: Spec = {
    "argument_spec": {
        "exercises": {"type": "dict", "default": {}},
        "ledger": {"type": "path", "default": "drills"},
        "interval": {"type": "int", "default": 365},
        "since": {"type": "str"},
        "today": {"type": "str"},
        "page": {"type": "path"},
        "junit": {"type": "path"},
    }
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

_INVARIANTS: Spec = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"name": {"type": "str", "required": True}, "query": {"type": "str", "required": True}},
}

IDENTITY: Spec = {"argument_spec": {"identity": {"type": "dict", "default": {}}}}

TRANSACTION: Spec = {
    "argument_spec": {
        "archives": {"type": "path"},
        "lock_timeout": {"type": "float", "default": 2},
        "retries": {"type": "int", "default": 3},
        "side_effects": {"type": "list", "elements": "str", "default": []},
    }
}

_PATTERNS: Spec = {
    "type": "list",
    "elements": "dict",
    "options": {
        "column": {"type": "str", "required": True},
        "like": {"type": "str"},
        "starts_with": {"type": "str"},
        "equals": {"type": "str"},
        "ignore_case": {"type": "bool", "default": False},
    },
}

_MATCH: Spec = {
    "type": "dict",
    "required": True,
    "options": {
        "patterns": _PATTERNS,
        "ids": {"type": "list", "elements": "raw"},
        "created": {
            "type": "dict",
            "options": {
                "column": {"type": "str", "required": True},
                "after": {"type": "str"},
                "before": {"type": "str"},
            },
        },
        "exclude": {
            "type": "dict",
            "options": {"patterns": _PATTERNS, "ids": {"type": "list", "elements": "raw"}},
        },
    },
}

_TABLE: Spec = {"type": "str", "required": True}
_TABLES: Spec = {"type": "list", "elements": "str", "default": []}

CLEANUP: Spec = {
    "argument_spec": {
        "root": {"type": "dict", "required": True, "options": {"table": _TABLE, "match": _MATCH}},
        "tables": _TABLES,
        "detach": _TABLES,
        "sensitive": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "linked": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "table": _TABLE,
                "key": {"type": "str", "no_log": False},
                "match": _MATCH,
                "through": {
                    "type": "dict",
                    "required": True,
                    "options": {
                        "table": _TABLE,
                        "root_column": {"type": "str", "required": True},
                        "linked_column": {"type": "str", "required": True},
                        "root_key": {"type": "str", "no_log": False},
                    },
                },
            },
        },
        "references": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "table": _TABLE,
                "columns": {"type": "list", "elements": "str", "required": True},
                "to": {"type": "str", "required": True},
                "to_columns": {"type": "list", "elements": "str"},
                "where": {"type": "dict"},
            },
        },
        "guards": {
            "type": "dict",
            "default": {},
            "options": {
                "max_rows": {"type": "int"},
                "max_share": {"type": "float"},
                "max_unindexed": {"type": "float"},
                "expected_count": {"type": "int"},
                "expected_ids": {"type": "list", "elements": "raw"},
                "expected_plan": {"type": "str"},
                "every_row": {
                    "type": "list",
                    "elements": "dict",
                    "options": {
                        "table": _TABLE,
                        "column": {"type": "str", "required": True},
                        "min": {"type": "str"},
                        "max": {"type": "str"},
                    },
                },
            },
        },
        "invariants": _INVARIANTS,
        "baseline_file": {"type": "path"},
        "protected": {"type": "bool", "default": True},
        "without_archive": {"type": "bool", "default": False},
        "run_id": {"type": "str"},
    },
    "required_if": [["without_archive", False, ["archives"]]],
}

BASELINE: Spec = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["taken", "compared"], "default": "taken"},
        "name": {"type": "str", "required": True},
        "baselines": {"type": "path", "required": True},
        "tables": _TABLES,
        "invariants": _INVARIANTS,
        "checksums": {"type": "bool", "default": False},
        "expect": {"type": "dict", "default": {}},
    }
}

STORE: Spec = {
    "argument_spec": {
        "store": {
            "type": "dict",
            "options": {
                "folder": {"type": "path"},
                "bucket": {"type": "str"},
                "prefix": {"type": "str", "default": ""},
                "endpoint_url": {"type": "str"},
                "region": {"type": "str"},
                "profile": {"type": "str"},
                "access_key": {"type": "str", "no_log": False},
                "secret_key": {"type": "str", "no_log": True},
                "session_token": {"type": "str", "no_log": True},
                "ca_cert": {"type": "path"},
                "encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
                "kms_key_id": {"type": "str", "no_log": False},
            },
            "mutually_exclusive": [["folder", "bucket"], ["profile", "access_key"]],
            "required_one_of": [["folder", "bucket"]],
            "required_together": [["access_key", "secret_key"]],
        },
    }
}

BACKUPS: Spec = {
    "argument_spec": {
        "backup": {"type": "str"},
        "before": {"type": "str"},
        "pattern": {"type": "str"},
        "time_zone": {"type": "str", "default": "UTC"},
        "skip_damaged": {"type": "bool", "default": False},
        "bin_dir": {"type": "path"},
        "work_dir": {"type": "path"},
        "on_old_client": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    }
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
    "baseline_at": {"type": "str"},
    "min_ratio": {"type": "float"},
    "max_ratio": {"type": "float"},
    "max_increase": {"type": "float"},
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
