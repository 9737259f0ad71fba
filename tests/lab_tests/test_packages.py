"""The script that installs what the lab needs: it knows what the parts ask for, and leaves alone what is there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.lab.cluster.machine import PACKAGES
from tests.lab.docker.programs import NEEDED

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "system-packages"


def test_it_lists_every_package_that_a_part_of_the_lab_needs():
    listed = set(re.findall(r'^  "[^":]+:([^"]+)"$', SCRIPT.read_text(), re.MULTILINE))
    needed = {*PACKAGES.values(), *NEEDED.values()} - {"apt"}  # apt is what it installs with
    assert needed <= listed, needed - listed


def test_where_all_is_there_it_installs_nothing():
    first = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    if first.returncode and not os.environ.get("CI"):
        pytest.skip(first.stderr)
    assert first.returncode == 0, first.stderr
    again = subprocess.run([SCRIPT], capture_output=True, text=True, check=True)
    assert (again.stdout, again.stderr) == ("", "")
