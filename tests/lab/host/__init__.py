"""Real hosts for the lab: Debian booted by systemd, reached over ssh, thrown away afterwards.

host = SystemdHost("staging-web-1")
app = up_with_app(host)                       # or host.up() for a bare one
...  ANSIBLE_SSH_ARGS="-F <host.ssh_config>" ansible-playbook -i inventories/staging ...
host.down()
"""

from .app import App, up_with_app
from .host import SystemdHost
from .machine import unavailable

__all__ = ["App", "SystemdHost", "unavailable", "up_with_app"]
