"""A FAKE of the part of AWX's API that the modules of awx.awx 24.6 speak: no AWX server can be had here.

It keeps what is posted and answers as AWX does where that matters for configuring it: an encrypted field is never
given back, a survey, a schedule and an injector are judged by AWX's own rules as far as we know them, a playbook
must be in the project. It runs nothing. The modules that talk to it are the real ones.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dateutil.rrule import rrulestr

TOKEN = "the-token-of-the-fake"
TYPES = {
    "organizations": "organization",
    "projects": "project",
    "inventories": "inventory",
    "inventory_sources": "inventory_source",
    "credential_types": "credential_type",
    "credentials": "credential",
    "execution_environments": "execution_environment",
    "notification_templates": "notification_template",
    "job_templates": "job_template",
    "workflow_job_templates": "workflow_job_template",
    "workflow_job_template_nodes": "workflow_job_template_node",
    "workflow_approval_templates": "workflow_approval_template",
    "schedules": "schedule",
}
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates")
#: what a credential type may not put into the environment: these, and whatever begins with ANSIBLE_
NOT_INJECTED = {"PATH", "PYTHONPATH", "VIRTUAL_ENV", "JOB_ID", "INVENTORY_ID", "REST_API_TOKEN", "AWX_HOST"}
FIELD_KEYS = {"id", "type", "label", "help_text", "secret", "multiline", "format", "choices", "default"}
QUESTION_TYPES = ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
ENCRYPTED = "$encrypted$"
Object = dict[str, Any]


class Bad(Exception):
    """What AWX answers with 400."""


class Awx:
    """The objects by endpoint and id, and what was asked to be changed; ``playbooks`` are those of the project."""

    def __init__(self, playbooks: set[str]) -> None:
        self.playbooks = playbooks
        self.objects: dict[str, dict[int, Object]] = {name: {} for name in TYPES}
        self.surveys: dict[str, Any] = {}
        self.linked: dict[str, list[int]] = {}
        self.changes: list[str] = []
        self.problems: list[str] = []
        self.url = ""
        self._number = 0

    def names(self, endpoint: str) -> list[str]:
        """Return the names of what one endpoint holds, in the order in which they were made."""
        return [str(one["name"]) for one in self.objects[endpoint].values()]

    def one(self, endpoint: str, name: str) -> Object:
        """Return the object of this name."""
        return next(one for one in self.objects[endpoint].values() if one.get("name") == name)

    def survey(self, endpoint: str, name: str) -> list[Object]:
        """Return the questions of a template."""
        spec = self.surveys.get(f"{self.one(endpoint, name)['url']}survey_spec/", {"spec": []})
        return list(spec["spec"])

    # -- what the API does ---------------------------------------------------------------------------------------------

    def get(self, path: str, asked: Mapping[str, str]) -> tuple[int, Any]:
        parts = path.strip("/").split("/")[2:]
        if path in self.surveys or (len(parts) == 3 and parts[2] == "survey_spec"):
            return 200, self.surveys.get(path, {})
        if parts[0] == "project_updates":
            return 200, {"id": 1, "status": "successful", "failed": False, "finished": "now"}
        if len(parts) == 1:
            pools = UNIFIED if parts[0] == "unified_job_templates" else (parts[0],)
            found = [one for pool in pools for one in self.objects[pool].values() if _fits(one, asked)]
            return 200, _page([_shown(one) for one in found])
        if len(parts) == 2:
            return 200, _shown(self._object(parts))
        if parts[0] == "workflow_approval_templates":
            raise KeyError(path)  # an approval has no steps after it, its node has
        self._object(parts)
        return 200, _page([{"id": number} for number in self.linked.get(path, [])])

    def post(self, path: str, given: Object) -> tuple[int, Any]:
        parts = path.strip("/").split("/")[2:]
        self.changes.append(f"POST {path}")
        if len(parts) == 1:
            return 201, _shown(self._make(parts[0], given))
        if parts[2] == "survey_spec":
            judge_survey(given)
            self.surveys[path] = given
            return 200, {}
        if parts[2] == "create_approval_template":
            node = self._object(parts)
            made = self._make("workflow_approval_templates", {"name": given["name"], **given})
            node["unified_job_template"] = made["id"]
            node["related"]["unified_job_template"] = made["url"]
            return 201, _shown(made)
        linked = self.linked.setdefault(path, [])
        if given.get("disassociate"):
            linked.remove(given["id"])
        else:
            linked.append(given["id"])
        return 204, None

    def patch(self, path: str, given: Object) -> tuple[int, Any]:
        self.changes.append(f"PATCH {path}")
        one = self._object(path.strip("/").split("/")[2:])
        one.update(given)
        return 200, _shown(one)

    def _object(self, parts: list[str]) -> Object:
        return self.objects[parts[0]][int(parts[1])]

    def _make(self, endpoint: str, given: Object) -> Object:
        self._judge(endpoint, given)
        self._number += 1
        url = f"/api/v2/{endpoint}/{self._number}/"
        related = {"survey_spec": f"{url}survey_spec/"} if endpoint.endswith("job_templates") else {}
        made = {**given, "id": self._number, "url": url, "type": TYPES[endpoint], "related": related}
        if endpoint == "projects":
            made.update(scm_revision="", summary_fields={"current_update": {"id": 1}})
        if endpoint == "inventories":
            made["kind"] = given.get("kind") or ""
        self.objects[endpoint][self._number] = made
        return made

    def _judge(self, endpoint: str, given: Object) -> None:
        if endpoint == "job_templates" and given["playbook"] not in self.playbooks:
            raise Bad(f"Playbook not found for project: {given['playbook']}")
        if endpoint == "credential_types":
            judge_credential_type(given)
        if endpoint == "credentials":
            fields = self.objects["credential_types"][given["credential_type"]]["inputs"]["fields"]
            unknown = set(given["inputs"]) - {field["id"] for field in fields}
            if unknown:
                raise Bad(f"unknown inputs {sorted(unknown)}")
            given["secret_inputs"] = [field["id"] for field in fields if field.get("secret")]
        if endpoint == "schedules":
            template = self.objects["job_templates"][given["unified_job_template"]]
            questions = self.surveys[f"{template['url']}survey_spec/"]["spec"] if template.get("survey_enabled") else []
            judge_schedule(given["rrule"])
            judge_answers(questions, given.get("extra_data") or {})


def judge_survey(spec: Mapping[str, Any]) -> None:
    """Raise Bad for a survey that AWX would not take."""
    if not {"name", "description", "spec"} <= set(spec) or not spec["spec"]:
        raise Bad("'name', 'description' and a 'spec' that is not empty are needed")
    seen = set()
    for question in spec["spec"]:
        for key in ("type", "question_name", "variable", "required"):
            if key not in question:
                raise Bad(f"'{key}' missing from survey question {question}")
        if question["type"] not in QUESTION_TYPES or not isinstance(question["required"], bool):
            raise Bad(f"type or required of {question['variable']}")
        if question["variable"] in seen or not re.fullmatch(r"[a-zA-Z_]\w*", question["variable"]):
            raise Bad(f"variable {question['variable']} is no variable or stands twice")
        seen.add(question["variable"])
        if question["type"].startswith("multi"):
            choices = question.get("choices")
            if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
                raise Bad(f"choices of {question['variable']} must be texts")
        if question.get("default") not in (None, ""):
            judge_answers([question], {question["variable"]: question["default"]})


def judge_answers(questions: list[Object], answers: Mapping[str, Any]) -> None:
    """Raise Bad for answers that AWX would not launch with."""
    unknown = set(answers) - {question["variable"] for question in questions}
    if unknown:
        raise Bad(f"Variables {sorted(unknown)} are not allowed on launch")
    for question in questions:
        name, kind = question["variable"], question["type"]
        if name not in answers:
            if question["required"] and question.get("default") in (None, ""):
                raise Bad(f"'{name}' value missing")
            continue
        answer = answers[name]
        size = answer if kind in ("integer", "float") else len(answer)
        if not isinstance(answer, {"integer": int, "float": float, "multiselect": list}.get(kind, str)):
            raise Bad(f"{name} is not of the type {kind}")
        if kind.startswith("multi"):
            chosen = answer if kind == "multiselect" else [answer]
            if not set(chosen) <= set(question["choices"]):
                raise Bad(f"{name}: {answer} is no choice")
        elif not question.get("min", size) <= size <= question.get("max", size):
            raise Bad(f"{name}: {answer} is too short, too long, too small or too great")


def judge_schedule(rule: str) -> None:
    """Raise Bad for a schedule that AWX does not support, or that dateutil (its library) can't read."""
    head, found, rest = rule.partition(" RRULE:")
    if not found or not re.fullmatch(r"DTSTART(;TZID=[\w/+-]+:\d{8}T\d{6}|:\d{8}T\d{6}Z)", head):
        raise Bad("one DTSTART with a time zone, then an RRULE")
    if "INTERVAL=" not in rest or re.search(r"SECONDLY|BYDAY=[-+]?\d|EXDATE|RDATE|BYWEEKNO|BYYEARDAY", rest):
        raise Bad(f"not supported: {rest}")
    if not rrulestr(rule.replace(" ", "\n"))[:1]:
        raise Bad("it never comes")


def judge_credential_type(given: Mapping[str, Any]) -> None:
    """Raise Bad for inputs or injectors that AWX would not take, or that would make a secret a variable."""
    fields = {field["id"]: field for field in given["inputs"]["fields"]}
    for name, field in fields.items():
        if not re.fullmatch(r"[a-zA-Z_]\w*", name) or name in ("tower", "awx") or not field.get("label"):
            raise Bad(f"field {name}")
        if not set(field) <= {
            "id",
            "type",
            "label",
            "help_text",
            "secret",
            "multiline",
            "format",
            "choices",
            "default",
        }:
            raise Bad(f"field {name} has keys that AWX doesn't know")
    if not set(given["inputs"].get("required", [])) <= set(fields):
        raise Bad("required names no field")
    files = given["injectors"].get("file", {})
    if set(given["injectors"]) - {"file", "env", "extra_vars"} or not all(
        re.fullmatch(r"template(\.\w+)?", name) for name in files
    ):
        raise Bad("injectors")
    named = {name.partition(".")[2] for name in files}
    for name, template in given["injectors"].get("env", {}).items():
        if name in NOT_INJECTED or name.startswith("ANSIBLE_"):
            raise Bad(f"Environment variable {name} is not allowed to be used in credentials")
        if not set(re.findall(r"tower\.filename\.(\w+)", template)) <= named:
            raise Bad(f"{name} names a file that is not made")


def _fits(one: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    either = [key for key in asked if key.startswith("or__")]
    plain = all(str(one.get(key)) == asked[key] for key in asked if key not in either)
    return plain and (not either or any(str(one.get(key[4:])) == asked[key] for key in either))


def _page(results: list[Object]) -> Object:
    return {"count": len(results), "next": None, "previous": None, "results": results}


def _shown(one: Object) -> Object:
    shown = {key: value for key, value in one.items() if key != "secret_inputs"}
    if one["type"] == "credential":
        hidden = dict.fromkeys(one["secret_inputs"], ENCRYPTED)
        shown["inputs"] = {key: hidden.get(key, value) for key, value in one["inputs"].items()}
    return shown


@contextmanager
def served(awx: Awx) -> Iterator[Awx]:
    """Serve it on a port of this machine; whoever has not the token is refused."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self, call: Any, *more: Any) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, body = 401, {"detail": "Authentication credentials were not provided."}
            else:
                try:
                    status, body = call(urlsplit(self.path).path, *more)
                except Bad as error:
                    status, body = 400, {"__all__": [str(error)], "error": str(error)}
                except (KeyError, ValueError, IndexError) as error:
                    status, body = 404, {"detail": f"Not found: {error}"}
            if status >= 400:
                awx.problems.append(f"{self.command} {self.path}: {status} {body}")
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _given(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            asked = {
                key: values[0] for key, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()
            }
            self._answer(awx.get, asked)

        def do_POST(self) -> None:
            self._answer(awx.post, self._given())

        def do_PATCH(self) -> None:
            self._answer(awx.patch, self._given())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        awx.url = f"http://127.0.0.1:{server.server_port}"
        yield awx
    finally:
        server.shutdown()
        server.server_close()
