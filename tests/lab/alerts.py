"""Alerting for a lab: its Prometheus gets the collection's rules, an Alertmanager and ansible-rulebook run beside it.

The rules, Alertmanager's settings and the rulebooks are those that the collection ships; only addresses and waiting
times are changed, so that an alert fires within seconds.
"""

import json
import os
import re
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from . import parts, processes
from .lab import ROOT, Lab
from .postgres import write_secret
from .waiting import LabError, wait_until

SHIPPED = ROOT / "extensions" / "eda"
RULEBOOK, APPROVED = "dual_write_alerts", "dual_write_alerts_approved"
ENVIRONMENT = "lab"
#: at the beginning of a line: what a failed playbook has printed, ansible-rulebook prints again
LOOK = re.compile(r"^\[ *[0-9.]+ s of [0-9]+ s\] measure ", re.MULTILINE)
RECEIVED = re.compile(r"'received_at': '([^']+)'")


@dataclass(frozen=True)
class Door:
    """Where a source of the rulebook listens, and the token that it wants."""

    port: int
    token_file: Path

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"http://127.0.0.1:{self.port}/"

    def send(self, body: Any, token: str | None = None) -> int:
        """Post a message with the right token or another one, and return the status."""
        words = self.token_file.read_text().strip() if token is None else token
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {words}"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, data, headers), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


class Alerting:
    """Prometheus' rules, Alertmanager and a rulebook for one lab that is up; what it starts ends with the lab."""

    def __init__(self, lab: Lab, reports: Path, rulebook: str = RULEBOOK, inventory: Path | None = None) -> None:
        self.lab, self.reports, self.rulebook = lab, reports, rulebook
        self.inventory = inventory or ROOT / "inventories" / "lab"
        self.folder = lab.dir / "alerting" / rulebook
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.notices = self.folder / "notices"
        self.alertmanager = f"http://127.0.0.1:{parts.free_port()}"
        self.alerts, self.approvals = self._door("alerts"), self._door("approvals")
        self.log = self.folder / "rulebook.log"

    def up(self, **variables: str) -> "Alerting":
        """Start all of it and wait until it is ready. Raise LabError when a part does not become so."""
        self.start_alertmanager()
        self.start_rulebook(**variables)
        self.watch_prometheus()
        self.await_rulebook()
        return self

    def start_alertmanager(self) -> None:
        """Start Alertmanager with the settings that the collection ships, impatient ones."""
        config = yaml.safe_load((SHIPPED / "prometheus" / "alertmanager.yml").read_text())
        config["route"]["routes"][0].update(group_wait="0s", group_interval="1s", repeat_interval="1m")
        hook = config["receivers"][1]["webhook_configs"][0]
        hook["url"] = self.alerts.url
        hook["http_config"]["authorization"]["credentials_file"] = str(self.alerts.token_file)
        file = self.folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config))
        argv = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={self.folder / 'alertmanager'}"]
        argv += [f"--web.listen-address={self.alertmanager.removeprefix('http://')}", "--cluster.listen-address="]
        self._spawn("alertmanager", argv, {"PATH": os.environ["PATH"]}, self.folder / "alertmanager.log")

    def watch_prometheus(self) -> None:
        """Give the lab's Prometheus the rules that the collection ships, and the Alertmanager to tell."""
        rules = yaml.safe_load((SHIPPED / "prometheus" / "dual_write_rules.yml").read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                rule["for"] = "0s"
                rule["expr"] = rule["expr"].replace("[1m]", "[4s]")
        file = self.folder / "rules.yml"
        file.write_text(yaml.safe_dump(rules))
        config_file = self.lab.dir / "prometheus" / "prometheus.yml"
        config = yaml.safe_load(config_file.read_text())
        config["global"]["external_labels"] = {"environment": ENVIRONMENT}
        config["rule_files"] = [str(file)]
        told = [{"targets": [self.alertmanager.removeprefix("http://")]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": told}]}
        config_file.write_text(json.dumps(config) + "\n")
        self.prometheus().send(1)
        wait_until(lambda: self.asked("rules").get("groups"), "Prometheus to take the rules")

    def start_rulebook(self, **variables: str) -> None:
        """Start ansible-rulebook; ``variables`` are further environment variables of it."""
        settings = {
            "dualwrite_environment": ENVIRONMENT,
            "alerts_host": "127.0.0.1",
            "alerts_port": self.alerts.port,
            "approvals_host": "127.0.0.1",
            "approvals_port": self.approvals.port,
        }
        vars_file = self.folder / "rulebook.yml"
        vars_file.write_text(yaml.safe_dump(settings))
        tokens = {
            "DUALWRITE_ALERTS_TOKEN": self.alerts.token_file.read_text().strip(),
            "DUALWRITE_APPROVALS_TOKEN": self.approvals.token_file.read_text().strip(),
        }
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(ROOT / "playbooks" / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "dualwrite.rollback.phases",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "DUALWRITE_LAB": str(self.lab.dir),
            "DUALWRITE_REPORTS": str(self.reports),
            "DUALWRITE_NOTICES": str(self.notices),
            **tokens,
            **variables,
        }
        argv = ["ansible-rulebook", "--rulebook", f"dualwrite.rollback.{self.rulebook}"]
        argv += ["--inventory", str(self.inventory), "--vars", str(vars_file), "--env-vars", ",".join(tokens)]
        self._rulebook = self._spawn("rulebook", [*argv, "--print-events"], environ, self.log)

    def await_rulebook(self) -> None:
        """Wait until the rulebook takes alerts, which its Java needs some seconds for."""

        def listens() -> bool:
            if self._rulebook.poll() is not None:
                raise LabError(f"ansible-rulebook has ended:\n{self.told()[-2000:]}")
            answer = parts.get(self.alerts.url)
            return answer is not None and answer[0] in (401, 405)

        wait_until(listens, f"ansible-rulebook listens (see {self.log})", 60)

    def stop_rulebook(self) -> None:
        """End ansible-rulebook and wait for it."""
        process = processes.look_up(self._rulebook.pid)
        if process:
            processes.end([process], seconds=30)

    # -- look

    def told(self) -> str:
        """Return what ansible-rulebook and the playbooks that it runs have printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def looks(self) -> int:
        """Return how many times symptoms were measured."""
        return len(LOOK.findall(self.told()))

    def received(self) -> list[datetime]:
        """Return when the rulebook has received its events."""
        return [datetime.fromisoformat(found) for found in RECEIVED.findall(self.told())]

    def asked(self, question: str) -> dict[str, Any]:
        """Return the data of Prometheus' answer, empty when it has none."""
        answer = parts.get(f"{self.lab.state['prometheus']['url']}/api/v1/{question}")
        return dict(json.loads(answer[1]).get("data") or {}) if answer and answer[0] == 200 else {}

    def firing(self, name: str) -> datetime | None:
        """Return since when an alert fires by Alertmanager's word, None while it does not."""
        answer = parts.get(f"{self.alertmanager}/api/v2/alerts?filter=alertname%3D%22{name}%22")
        found = json.loads(answer[1]) if answer and answer[0] == 200 else []
        return datetime.fromisoformat(found[0]["startsAt"]).astimezone(UTC) if found else None

    def prometheus(self) -> processes.Process:
        """Return the lab's Prometheus. Raise LabError when it does not run."""
        process = parts.running(self.lab.paths, "prometheus")
        if process is None:
            raise LabError("the lab has no Prometheus: scripts/system-packages installs it")
        return process

    # -- inside

    def _door(self, name: str) -> Door:
        token_file = self.folder / f"{name}.token"
        write_secret(token_file, secrets.token_urlsafe(24) + "\n")
        return Door(parts.free_port(), token_file)

    def _spawn(self, name: str, argv: list[str], environ: Mapping[str, str], log: Path) -> Any:
        try:
            return processes.spawn(argv, log, {**environ, "LAB_MEMBER_OF": str(self.lab.dir)})
        except FileNotFoundError:
            raise LabError(f"{name} can't be started: there is no {argv[0]} on PATH") from None


def message(*alerts: Mapping[str, Any], status: str = "firing") -> dict[str, Any]:
    """Return what Alertmanager's webhook sends for alerts, each given by its labels, all since the same time."""
    since = "2026-01-25T02:40:00.123Z"
    told = [{"status": status, "labels": dict(one), "annotations": {}, "startsAt": since} for one in alerts]
    return {"version": "4", "status": status, "alerts": told}
