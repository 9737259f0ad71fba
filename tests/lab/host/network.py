"""A /30 of its own for each host: a veth pair between this machine and the host's network namespace."""

from __future__ import annotations

import ipaddress
import json

from ..waiting import LabError, wait_until
from . import machine

NETWORK = ipaddress.ip_network("172.31.240.0/24")
INSIDE = "host0"


def device(index: int) -> str:
    """Return the name of our end of a host's pair."""
    return f"dwrh{index}"


def addresses(index: int) -> tuple[str, str]:
    """Return our address and the host's, without the length of the prefix."""
    first = int(NETWORK.network_address) + 4 * index
    return str(ipaddress.ip_address(first + 1)), str(ipaddress.ip_address(first + 2))


def free_index(taken: set[int]) -> int:
    """Return the lowest index that no host has and whose addresses this machine doesn't route elsewhere.

    Raises LabError when all are taken.
    """
    links = {link["ifname"] for link in json.loads(machine.call(["ip", "-j", "link"]))}
    routes = []
    for route in json.loads(machine.call(["ip", "-j", "route"])):
        if route["dst"] != "default":
            routes.append(ipaddress.ip_network(route["dst"], strict=False))
    for index in range(NETWORK.num_addresses // 4):
        piece = ipaddress.ip_network(f"{ipaddress.ip_address(int(NETWORK.network_address) + 4 * index)}/30")
        if index not in taken and device(index) not in links and not any(piece.overlaps(route) for route in routes):
            return index
    raise LabError(f"no free /30 is left in {NETWORK}: take hosts down (python -m tests.lab.host status)")


def connect(index: int, init: int) -> None:
    """Give both ends their address and bring them up; init is the host's first process."""
    ours, theirs = addresses(index)
    inside = ["nsenter", "--target", str(init), "--net"]
    machine.call([*inside, "ip", "address", "replace", f"{theirs}/30", "dev", INSIDE])
    machine.call([*inside, "ip", "link", "set", INSIDE, "up"])
    machine.call(["ip", "address", "replace", f"{ours}/30", "dev", device(index)])
    machine.call(["ip", "link", "set", device(index), "up"])


def remove(index: int) -> None:
    """Remove the pair if it is still there; it goes by itself, a little later, with the host's namespace."""
    links = {link["ifname"] for link in json.loads(machine.call(["ip", "-j", "link"]))}
    if device(index) in links:
        try:
            machine.call(["ip", "link", "delete", device(index)])
        except LabError:
            wait_until(
                lambda: f'"{device(index)}"' not in machine.call(["ip", "-j", "link"]), f"{device(index)} to go", 10
            )
