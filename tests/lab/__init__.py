"""The lab: a real dual-writing application, its database and its users, on this machine."""

from .lab import Lab
from .waiting import LabError, wait_until

__all__ = ["Lab", "LabError", "wait_until"]
