"""The schedule of drills as the playbook writes it for a machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.play import call, environ

#: words that systemd, cron and a shell each read in a way of their own
WORDS = "100% $HOME"


def scheduled(folder: Path, by: str, **commands: str) -> list[Path]:
    """Have the playbook schedule a drill of the environment lab, and return the files that it writes.

    ``commands`` are ``command`` and ``recover_command``, where they are not to be the playbook's own.
    """
    made = folder / by
    made.mkdir()
    inventory = folder / "hosts.yml"
    inventory.write_text(json.dumps({"dualwrite": {"hosts": {"web-1": None}}}))
    given = {
        "dualwrite_environment": "lab",
        **{f"dualwrite_drill_{name}": command for name, command in commands.items()},
        "dualwrite_drill_folder": "/tmp",
        "dualwrite_drill_schedule_by": by,
        "dualwrite_drill_schedule": {"hour": 9},
        "drill_schedule_units": str(made),
        "drill_schedule_cron": str(made),
        "ansible_python_interpreter": sys.executable,
    }
    argv = ["ansible-playbook", "drill_schedule.yml", "-i", str(inventory), "-e", json.dumps(given)]
    ended = call(argv, folder / "reports", environ(folder / "reports"))
    assert ended.rc == 0, ended.text
    return sorted(made.iterdir())
