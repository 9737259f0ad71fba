"""An online shop's orders, a second application that dual-writes: other tables, flags, keys, logs and answers.

`app.py api` takes orders over HTTP into the new tables (UUID keys) and queues a copy for the old ones (integer keys);
`app.py relay` works the queue off. With ORDERS_V2_MIRROR_REQUIRED the copy is made in the request itself. Both read
ORDERS_V2_MIRROR and ORDERS_V2_MIRROR_REQUIRED (on, off) from their environment and log lines of plain text.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg2

WORDS = {"on": True, "off": False}
SCHEMA = """
CREATE TABLE orders_v2 (id uuid PRIMARY KEY, reference text NOT NULL, placed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_lines_v2 (order_id uuid NOT NULL REFERENCES orders_v2, line int, sku text,
  PRIMARY KEY (order_id, line));
CREATE TABLE orders (id serial PRIMARY KEY, reference text NOT NULL);
CREATE TABLE order_items (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders, sku text);
CREATE TABLE order_link (v2_id uuid PRIMARY KEY REFERENCES orders_v2, v1_id int NOT NULL UNIQUE REFERENCES orders);
CREATE TABLE outbox (id serial PRIMARY KEY, order_id uuid NOT NULL, queued_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON order_items (order_id);
"""
MIRROR = """
WITH made AS (INSERT INTO orders (reference) SELECT reference FROM orders_v2 WHERE id = %(id)s RETURNING id),
  items AS (INSERT INTO order_items (order_id, sku)
    SELECT made.id, l.sku FROM made, order_lines_v2 l WHERE l.order_id = %(id)s)
INSERT INTO order_link (v2_id, v1_id) SELECT %(id)s, id FROM made RETURNING v1_id
"""
log = logging.getLogger("orders")


def flag(name: str) -> bool:
    """Return what the environment says; any other word than on and off keeps the application from starting."""
    return WORDS[os.environ[name]]


def connect() -> Any:
    """Return a connection that commits each statement; where the database is stands in ORDERS_DSN."""
    link = psycopg2.connect(os.environ["ORDERS_DSN"])
    link.autocommit = True
    return link


def mirror(cursor: Any, order: str) -> None:
    """Write an order to the old tables as well."""
    cursor.execute(MIRROR, {"id": order})
    row = cursor.fetchone()
    log.info("mirror order=%s %s", order, f"written as {row[0]}" if row else "is gone")


class Api(BaseHTTPRequestHandler):
    """Orders are placed, and removed again."""

    def do_GET(self) -> None:
        mirrored = {"enabled": flag("ORDERS_V2_MIRROR"), "required": flag("ORDERS_V2_MIRROR_REQUIRED")}
        self._answer(200, {"ok": True, "mirror": mirrored})

    def do_POST(self) -> None:
        if not self._known():
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        order = str(uuid.uuid4())
        with connect() as link, link.cursor() as cursor:
            cursor.execute("INSERT INTO orders_v2 (id, reference) VALUES (%s, %s)", (order, asked["reference"]))
            cursor.execute("INSERT INTO order_lines_v2 VALUES (%s, 1, 'MUG'), (%s, 2, 'HAT')", (order, order))
            if flag("ORDERS_V2_MIRROR") and flag("ORDERS_V2_MIRROR_REQUIRED"):
                mirror(cursor, order)
            elif flag("ORDERS_V2_MIRROR"):
                cursor.execute("INSERT INTO outbox (order_id) VALUES (%s)", (order,))
        self._answer(201, {"order": {"id": order}})

    def do_DELETE(self) -> None:
        if not self._known():
            return
        order = self.path.rpartition("/")[2]
        with connect() as link, link.cursor() as cursor:
            cursor.execute("DELETE FROM outbox WHERE order_id = %s", (order,))
            cursor.execute("DELETE FROM order_link WHERE v2_id = %s RETURNING v1_id", (order,))
            for (old,) in cursor.fetchall():
                cursor.execute("DELETE FROM order_items WHERE order_id = %s", (old,))
                cursor.execute("DELETE FROM orders WHERE id = %s", (old,))
            cursor.execute("DELETE FROM order_lines_v2 WHERE order_id = %s", (order,))
            cursor.execute("DELETE FROM orders_v2 WHERE id = %s", (order,))
        self._answer(204, None)

    def _known(self) -> bool:
        known = self.headers["X-Shop-Key"] == Path(os.environ["ORDERS_KEY_FILE"]).read_text().strip()
        if not known:
            self._answer(403, {"ok": False})
        return known

    def _answer(self, status: int, body: Any) -> None:
        self.send_response(status)
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body).encode())
        log.info("served %s %s %s", self.command, self.path, status)

    def log_message(self, *words: Any) -> None:
        """Leave the log to `_answer`."""


def api(pidfile: Path) -> None:
    """Serve until told to stop."""
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["ORDERS_PORT"])), Api)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    pidfile.write_text(str(os.getpid()))
    server.serve_forever(poll_interval=0.05)


def relay(pidfile: Path) -> None:
    """Work the queue off until told to stop; with the mirror off, what is queued is dropped."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    beat = 0.0
    with contextlib.closing(connect()) as link, link.cursor() as cursor:  # `with link` would be one transaction
        pidfile.write_text(str(os.getpid()))
        while not ended.wait(0.05):
            cursor.execute("DELETE FROM outbox RETURNING order_id")
            for (order,) in cursor.fetchall():
                if flag("ORDERS_V2_MIRROR"):
                    mirror(cursor, order)
                else:
                    log.info("dropped order=%s", order)
            if time.monotonic() > beat + 0.5:
                beat = time.monotonic()
                log.info("relay alive")


def main(part: str) -> None:
    """Run one part of the application."""
    logging.basicConfig(
        filename=os.environ["ORDERS_LOG"].format(part), level="INFO", format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.Formatter.converter = time.gmtime
    for name in ("ORDERS_V2_MIRROR", "ORDERS_V2_MIRROR_REQUIRED"):
        flag(name)
    {"api": api, "relay": relay}[part](Path(os.environ["ORDERS_PIDFILE"].format(part)))


if __name__ == "__main__":
    main(sys.argv[1])
