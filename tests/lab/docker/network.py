"""A /30 of its own for each engine: a veth pair between this machine and the engine's network namespace."""

from __future__ import annotations

import ipaddress
import json

from ..host import machine
from ..waiting import LabError

NETWORK = ipaddress.ip_network("172.31.239.0/24")


def device(index: int) -> str:
    """Return the name of our end of an engine's pair."""
    return f"dwrd{index}"


def addresses(index: int) -> tuple[str, str]:
    """Return our address and the engine's, without the length of the prefix."""
    first = int(NETWORK.network_address) + 4 * index
    return str(ipaddress.ip_address(first + 1)), str(ipaddress.ip_address(first + 2))


def connect(holder: int) -> int:
    """Connect the network namespace of a process with this machine and return the index of the pair.

    Raises LabError when no addresses are left.
    """
    with machine.locked("engine-network"):
        index = _free_index()
        ours, theirs = addresses(index)
        inside = ["nsenter", "--target", str(holder), "--net", "ip"]
        pair = ["type", "veth", "peer", "name", "engine0", "netns", str(holder)]
        machine.call(["ip", "link", "add", device(index), *pair])
        machine.call(["ip", "address", "add", f"{ours}/30", "dev", device(index)])
        machine.call(["ip", "link", "set", device(index), "up"])
        machine.call([*inside, "address", "add", f"{theirs}/30", "dev", "engine0"])
        machine.call([*inside, "link", "set", "engine0", "up"])
        machine.call([*inside, "link", "set", "lo", "up"])
    return index


def _free_index() -> int:
    links = {link["ifname"] for link in json.loads(machine.call(["ip", "-j", "link"]))}
    told = json.loads(machine.call(["ip", "-j", "route"]))
    routes = [ipaddress.ip_network(route["dst"], strict=False) for route in told if route["dst"] != "default"]
    for index in range(NETWORK.num_addresses // 4):
        piece = ipaddress.ip_network(f"{ipaddress.ip_address(int(NETWORK.network_address) + 4 * index)}/30")
        if device(index) not in links and not any(piece.overlaps(route) for route in routes):
            return index
    raise LabError(f"no free /30 is left in {NETWORK}: take engines down (python -m tests.lab.docker status)")
