# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach a PostgreSQL database, in the words of community.postgresql."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options; what is not given is libpq's own default (C(PGHOST), C(PGSERVICE) and the like)."""

    DOCUMENTATION = r"""
options:
  login_host:
    description: Host name or address of the server. Without it and O(login_unix_socket), libpq's default.
    type: str
  login_port:
    description: Port of the server.
    type: int
  login_user:
    description: Role to log in as.
    type: str
  login_password:
    description: Password of the role. Better name a O(passfile) or O(service), so that no option holds it.
    type: str
  login_db:
    description: Name of the database.
    type: str
  login_unix_socket:
    description: Folder of the server's socket.
    type: path
  ssl_mode:
    description: How much TLS protects the connection, as libpq's C(sslmode).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: PEM file of the CA that must have signed the server's certificate.
    type: path
  service:
    description: Section of the C(pg_service.conf) that holds the connection.
    type: str
  passfile:
    description: File of passwords in the form of C(.pgpass), mode 0600.
    type: path
requirements:
  - psycopg2 >= 2.9 (for the database)
"""
