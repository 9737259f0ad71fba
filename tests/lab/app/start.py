"""Start a workload of the application from an env file: `start.py web|worker|manage [arguments]`.

The env file is LAB_ENV_FILE; its values win over those inherited. `web` and `worker` go to the background and leave
their process id in LAB_RUN_DIR/<workload>.pid.
"""

import os
import sys
from pathlib import Path

APP = Path(__file__).resolve().parent


def main(workload: str, *arguments: str) -> None:
    """Become the workload."""
    from deltacrown.envfile import read

    os.environ.update(read(os.environ["LAB_ENV_FILE"]))
    os.environ["PYTHONPATH"] = str(APP)
    pidfile = os.path.join(os.environ.get("LAB_RUN_DIR", "."), f"{workload}.pid")
    if workload == "web":
        config = str(APP / "gunicorn.conf.py")
        argv = ["-m", "gunicorn", "--daemon", "--pid", pidfile, "--config", config, "deltacrown.wsgi:application"]
    elif workload == "worker":
        os.environ["DELTACROWN_PROCESS"] = "worker"
        argv = [str(APP / "manage.py"), "run_worker", "--pidfile", pidfile]
        to_background(os.path.join(os.environ["DELTACROWN_LOG_DIR"], "worker.err"))
    else:
        argv = [str(APP / "manage.py"), *arguments]
    os.chdir(APP)
    os.execv(sys.executable, [sys.executable, *argv])


def to_background(errors: str) -> None:
    """Leave the terminal, the session and the parent; what is printed goes to the file `errors`."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    silence = os.open(os.devnull, os.O_RDONLY)
    output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target, source in ((0, silence), (1, output), (2, output)):
        os.dup2(source, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
