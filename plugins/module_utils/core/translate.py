# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a missing library means to an operator."""

from __future__ import annotations

from .errors import RollbackError


def require(module: str, package: str, *, needed_for: str) -> None:
    """Raise RollbackError with the package to install when ``module`` can't be imported on this host."""
    try:
        __import__(module)
    except ImportError as error:
        raise RollbackError(
            f"the Python library '{package}' is needed for {needed_for} and is not installed",
            hint=f"Install it for the Python that runs Ansible modules on this host: pip install {package}.",
        ) from error
