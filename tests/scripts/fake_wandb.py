"""A wandb that keeps the views of its projects: the operations of GraphQL that a workspace is saved and read by.

An operation that it does not know, a variable that is used and not declared, and an input that it does not have or that
is missing are errors, as they are of the service. Values of variables that nobody declared are ignored, as GraphQL has
it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

VIEWER = {"id": "u1", "entity": "us", "username": "us", "email": "", "flags": "{}", "teams": {"edges": []}}
UPSERT = {
    *("id", "entityName", "projectName", "name", "displayName", "description", "type", "spec", "createdUsing"),
}


class FakeWandb:
    def __init__(self) -> None:
        self.views: dict[str, dict[str, Any]] = {}

    def answer(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        name = re.search(r"(?:query|mutation)\s+(\w+)", query)[1]
        operations = {"Viewer": self.viewer, "UpsertView2": self.upsert, "View": self.view}
        declared = set(re.findall(r"\$(\w+)\s*:", query.split("{")[0]))
        undeclared = set(re.findall(r"\$(\w+)", query.split("{", 1)[1])) - declared
        if name not in operations:
            raise ValueError(f"{name}: no such operation here")
        if undeclared:
            raise ValueError(f"{name}: {sorted(undeclared)} are not declared")
        return operations[name](query, variables)

    def viewer(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {"viewer": VIEWER}

    def upsert(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        fields = set(re.findall(r"(\w+):\s*[$A-Z]", re.search(r"input: {(.*?)}", query)[1]))
        if unknown := fields - UPSERT:
            raise ValueError(f"UpsertViewInput has no {sorted(unknown)}")
        if missing := {"entityName", "projectName", "type", "spec"} - {key for key in variables if variables[key]}:
            raise ValueError(f"UpsertViewInput needs {sorted(missing)}")
        inserted = variables["name"] not in self.views
        view = dict(variables) | {"id": f"view {len(self.views)}"}
        self.views[variables["name"]] = view
        return {"upsertView": {"view": {"id": view["id"], "name": view["name"]}, "inserted": inserted}}

    def view(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        place = variables["entityName"], variables["name"], variables.get("viewType")
        nodes = [
            {key: view[key] for key in ("id", "displayName", "spec")}
            for view in self.views.values()
            if (view["entityName"], view["projectName"], view["type"]) == place
            and view["name"] in (variables["viewName"], f"nw-{variables['viewName']}-v")
        ]
        return {"project": {"allViews": {"edges": [{"node": node} for node in nodes]}}}


@contextmanager
def serving(fake: FakeWandb) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/graphql":  # how often it is used, which it counts elsewhere
                return self.send(404, {})
            asked = json.loads(body)
            try:
                return self.send(200, {"data": fake.answer(asked["query"], asked.get("variables") or {})})
            except ValueError as error:
                return self.send(400, {"errors": [{"message": str(error)}]})

        def send(self, status: int, answer: Mapping[str, Any]) -> None:
            said = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
