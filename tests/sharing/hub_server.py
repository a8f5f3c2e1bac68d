"""A Hugging Face Hub on this machine: what its client asks for to push and to download a model."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_" + "s3cret" * 6
OWNER = "me"
SHA = "c0ffee" * 6 + "abcd"  # of every commit


class Hub:
    """Its repositories, what was asked, and what it is to refuse."""

    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}  # uploaded by their SHA-256
        self.commits: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.broken: dict[str, int] = {}  # part of a path -> status


@contextmanager
def hub() -> Iterator[Hub]:
    """A Hub that answers while the block runs."""
    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._begin()
        parts = self.path.split("?")[0].strip("/").split("/")
        if self._is_refused():
            return
        if parts[:2] == ["api", "whoami-v2"]:
            self._answer({"name": OWNER, "type": "user", "orgs": []})
        elif parts[:2] == ["api", "models"]:
            self._model("/".join(parts[2:4]), "tree" in parts)
        elif "resolve" in parts:
            at = parts.index("resolve")
            self._file("/".join(parts[at - 2 : at]), "/".join(parts[at + 2 :]))
        else:
            self._answer({"error": "no such route"}, 404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._begin()
        if self._is_refused():
            return
        if self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            _, front, _ = json.loads(body)["content"].split("---\n", 2)
            wrong = [] if "model-index" in yaml.safe_load(front) else [{"message": "no results"}]
            self._answer({"errors": wrong, "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs"
                    if file["path"].endswith((".safetensors", ".mp4"))
                    else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                item | {"actions": {"upload": {"href": f"{self.hub.url}/large/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            self._commit(body)
        else:
            self._answer({"error": "no such route"}, 404)

    def do_PUT(self) -> None:
        body = self._begin()
        if not self._is_refused():
            self.hub.large[self.path.rpartition("/")[2]] = body
            self._answer({})

    def log_message(self, *_: Any) -> None:
        pass

    def _begin(self) -> bytes:
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _is_refused(self) -> bool:
        for part, status in self.hub.broken.items():
            if part in self.path:
                self._answer({"error": "it is broken"}, status)
                return True
        is_public = self.command in ("GET", "HEAD") and "whoami" not in self.path
        if is_public or self.path.startswith("/large/"):
            return False
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid credentials"}, 401)
            return True
        return False

    def _create(self, asked: dict[str, Any]) -> None:
        owner = asked["organization"] or OWNER
        repo = f"{owner}/{asked['name']}"
        if owner != OWNER:
            self._answer({"error": f"You don't have the rights to create {repo}"}, 403)
        elif repo in self.hub.repos:
            url = f"{self.hub.url}/{repo}"
            self._answer({"error": "You already created this model repo", "url": url}, 409)
        else:
            self.hub.repos[repo] = {}
            self.hub.private[repo] = asked.get("visibility") == "private"
            self._answer({"url": f"{self.hub.url}/{repo}", "name": repo})

    def _commit(self, body: bytes) -> None:
        repo = "/".join(self.path.split("/")[3:5])
        if not repo.startswith(f"{OWNER}/"):
            self._answer({"error": "Forbidden"}, 403)
            return
        commit: dict[str, Any] = {"repo": repo, "files": {}}
        for line in body.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                commit["message"] = value["summary"]
            elif said["key"] == "file":
                commit["files"][value["path"]] = base64.b64decode(value["content"])
            else:
                data = self.hub.large[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                assert len(data) == value["size"]
                commit["files"][value["path"]] = data
        self.hub.commits.append(commit)
        self.hub.repos[repo] |= commit["files"]
        url = f"{self.hub.url}/{repo}/commit/{SHA}"
        self._answer({"success": True, "commitOid": SHA, "commitUrl": url})

    def _model(self, repo: str, tree: bool) -> None:
        if repo not in self.hub.repos:
            self._answer({"error": "Repository not found"}, 404)
            return
        files = self.hub.repos[repo]
        if tree:
            self._answer([
                {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                for name, data in files.items()
            ])  # fmt: skip
            return
        listed = [{"rfilename": name} for name in files]
        private = self.hub.private.get(repo, False)
        self._answer({"id": repo, "sha": SHA, "private": private, "siblings": listed, "tags": []})

    def _file(self, repo: str, name: str) -> None:
        data = self.hub.repos[repo][name]
        headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": SHA}
        self._send(data, 200, headers | {"Content-Type": "application/octet-stream"})

    def _answer(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
