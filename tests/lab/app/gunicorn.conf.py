"""How gunicorn serves the application. Executed again at SIGHUP: new workers then hold what the env file says."""

import os
import signal
from importlib import import_module
from pathlib import Path

from deltacrown import envfile, flags, instances

# Libraries that every worker needs, loaded once before the fork: a new worker is there in milliseconds. The
# application itself, its settings first of all, is loaded by each worker (no preload).
for library in (
    "django.core.handlers.wsgi",
    "django.core.wsgi",
    "django.db.backends.postgresql.base",
    "django.db.models.sql.compiler",
    "django.urls",
    "django.views.decorators.http",
    "prometheus_client.multiprocess",
):
    import_module(library)

try:
    envfile.refresh()
except (OSError, UnicodeDecodeError) as error:
    print(f"env file not read, old values stay: {error}", flush=True)
os.environ["DELTACROWN_PROCESS"] = "web"

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "3"))
worker_class = os.environ.get("WEB_WORKER_CLASS", "sync")
chdir = str(Path(__file__).parent)
preload_app = False
timeout = 30
graceful_timeout = 5
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
control_socket_disable = True
capture_output = True
errorlog = os.path.join(os.environ["DELTACROWN_LOG_DIR"], "gunicorn.log") if "DELTACROWN_LOG_DIR" in os.environ else "-"


def when_ready(server):
    """Tell the master's flags once it listens."""
    instances.announce(flags.load(os.environ))


def on_reload(server):
    """Tell the master's flags again after it executed this file anew."""
    instances.announce(flags.load(os.environ))


def post_worker_init(worker):
    """Tell a worker's flags as its settings hold them, now that the application is loaded."""
    from deltacrown.status import held_flags

    instances.announce(held_flags())
    if os.environ.get("LAB_STUBBORN_WORKER") == "1" and worker.age == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stays, with its old values, after a reload


def child_exit(server, worker):
    """Forget a worker, however it ended."""
    instances.withdraw(worker.pid)


def on_exit(server):
    """Forget the master."""
    instances.withdraw(os.getpid())
