"""The network of a cluster: a veth pair to the machine, and a subnet for its pods that the machine has a route to.

Neither the cluster's programs nor its pods reach the internet.
"""

from __future__ import annotations

import ipaddress
import json

from ..waiting import LabError
from . import machine

NODES = ipaddress.ip_network("172.31.241.0/24")
PODS = ipaddress.ip_network("10.213.0.0/16")
REACHED = "172.16.0.0/12"  # what pods reach through this machine: itself and the lab's other networks
COUNT = 32
INSIDE = "eth0"


def device(index: int) -> str:
    """Return the name of our end of a cluster's pair."""
    return f"dwrk{index}"


def addresses(index: int) -> tuple[str, str]:
    """Return our address and the node's, without the length of the prefix."""
    first = int(NODES.network_address) + 4 * index
    return str(ipaddress.ip_address(first + 1)), str(ipaddress.ip_address(first + 2))


def pods(index: int) -> str:
    """Return the subnet of a cluster's pods."""
    return f"{ipaddress.ip_address(int(PODS.network_address) + 256 * index)}/24"


def free_index(taken: set[int]) -> int:
    """Return the lowest index that no cluster has and whose addresses this machine doesn't route elsewhere.

    Raises LabError when all are taken.
    """
    links = {link["ifname"] for link in json.loads(machine.call(["ip", "-j", "link"]))}
    listed = [route["dst"] for route in json.loads(machine.call(["ip", "-j", "route"]))]
    routes = [ipaddress.ip_network(one, strict=False) for one in listed if one != "default"]
    for index in range(COUNT):
        ours = [ipaddress.ip_network(pods(index)), ipaddress.ip_network(f"{addresses(index)[0]}/30", strict=False)]
        free = not any(one.overlaps(route) for one in ours for route in routes)
        if index not in taken and device(index) not in links and free:
            return index
    raise LabError("no free network for a cluster: take one down (python -m tests.lab.cluster status)")


def connect(index: int, init: int) -> None:
    """Make the pair, give both ends their address, and a way to the pods and back; init is the first process."""
    ours, theirs = addresses(index)
    inside = ["nsenter", "--target", str(init), "--net", "ip"]
    peer = f"{device(index)}p"
    machine.call(["ip", "link", "add", device(index), "type", "veth", "peer", "name", peer, "netns", str(init)])
    machine.call([*inside, "link", "set", peer, "name", INSIDE])
    machine.call([*inside, "address", "add", f"{theirs}/30", "dev", INSIDE])
    machine.call([*inside, "link", "set", INSIDE, "up"])
    machine.call([*inside, "route", "add", REACHED, "via", ours])
    machine.call([*inside, "route", "add", "unreachable", "default"])  # else kubelet waits for a cloud's answers
    machine.call(["ip", "address", "add", f"{ours}/30", "dev", device(index)])
    machine.call(["ip", "link", "set", device(index), "up"])
    machine.call(["ip", "route", "add", pods(index), "via", theirs])


def remove(index: int) -> None:
    """Remove the pair, and the route with it, if it is still there; it may go by itself meanwhile."""
    links = json.loads(machine.call(["ip", "-j", "link"]))
    if any(link["ifname"] == device(index) for link in links):
        try:
            machine.call(["ip", "link", "delete", device(index)])
        except LabError:
            if f'"{device(index)}"' in machine.call(["ip", "-j", "link"]):
                raise
