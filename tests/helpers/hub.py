"""A Hugging Face hub on localhost: the routes by which its client fetches and commits."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import yaml

TOKEN = "hf_of_a_test"
# What a model's card may say, of what the hub knows
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-3.0", "cc0-1.0", "other")
PIPELINES = ("audio-to-audio", "text-classification")


@dataclass
class Repository:
    """Commits, oldest first, each with all files of the repository, and the branches."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        """Add or replace files on a branch; gives the commit's hash."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = {**before, **files}
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def add_folder(self, folder: Path, branch: str = "main") -> str:
        """Add or replace the files of a folder."""
        return self.commit({f.name: f.read_bytes() for f in sorted(folder.iterdir())}, branch)

    def at(self, revision: str) -> str | None:
        """The commit of a branch or of a commit's hash."""
        return self.branches.get(revision, revision if revision in self.commits else None)


class Hub(ThreadingHTTPServer):
    """The hub; `large` names what it takes as large files, `status` what it answers to all."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        # Large files are of another host, as the hub's are
        self.store = f"http://localhost:{self.server_port}/blobs"
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.large: tuple[str, ...] = ()
        self.status: int | None = None

    def repository(self, repo_id: str, **options: bool) -> Repository:
        """A new repository."""
        self.repositories[repo_id] = Repository(**options)
        return self.repositories[repo_id]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub while this lasts."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        self._body = None
        super().handle_one_request()

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_) -> None:
        """Nothing on stderr."""

    def _route(self) -> None:
        path = self.path.split("?")[0].strip("/")
        self.server.requests.append(f"{self.command} /{path}")
        self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.split("/")
        if self.server.status is not None:
            return self._send(self.server.status)
        if path == "api/repos/create":
            return self._create(json.loads(self._body))
        if path == "api/validate-yaml":
            return self._validate(json.loads(self._body)["content"])
        if parts[0] == "blobs":
            return self._blob(parts[1])
        if parts[:2] == ["api", "models"]:
            return self._of_model("/".join(parts[2:4]), *map(unquote, parts[4:]))
        if parts[2:3] == ["resolve"]:
            return self._resolve("/".join(parts[:2]), unquote(parts[3]), "/".join(parts[4:]))
        if path.endswith("info/lfs/objects/batch"):
            return self._batch(json.loads(self._body))
        self._send(404)

    def _send(self, status: int, data: object = b"", **headers: str) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, repo_id: str) -> Repository | None:
        """The repository that there is for this user."""
        found = self.server.repositories.get(repo_id)
        if found is None or (found.private and not self._known()):
            self._send(404 if self._known() else 401, X_Error_Code="RepoNotFound")
            return None
        return found

    def _of_model(self, repo_id: str, what: str = "revision", revision: str = "main") -> None:
        repository = self._repository(repo_id)
        if repository is None:
            return None
        sha = repository.at(revision)
        if what in ("preupload", "commit") and not self._known():
            return self._send(403, X_Error_Message="no right to write")
        if sha is None and not (what in ("preupload", "commit") and not repository.commits):
            return self._send(404, X_Error_Code="RevisionNotFound")
        if what == "preupload":
            return self._preupload(json.loads(self._body)["files"])
        if what == "commit":
            return self._commit(repo_id, repository, revision)
        files = [{"rfilename": name} for name in repository.commits.get(sha, {})]
        about = {"private": repository.private, "gated": "auto" if repository.gated else False}
        return self._send(200, {"id": repo_id, "sha": sha, "siblings": files, "tags": []} | about)

    def _resolve(self, repo_id: str, revision: str, name: str) -> None:
        repository = self._repository(repo_id)
        if repository is None:
            return None
        if repository.gated and not self._known():
            return self._send(403, X_Error_Code="GatedRepo")
        sha = repository.at(revision)
        if sha is None:
            return self._send(404, X_Error_Code="RevisionNotFound")
        if name not in repository.commits[sha]:
            return self._send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        content = repository.commits[sha][name]
        oid = hashlib.sha256(content).hexdigest()
        if name not in self.server.large:
            return self._send(200, content, ETag=f'"{oid}"', X_Repo_Commit=sha)
        self.server.blobs[oid] = content
        about = {"X_Linked_ETag": f'"{oid}"', "X_Linked_Size": str(len(content))}
        where = f"{self.server.store}/{oid}"
        return self._send(302, Location=where, X_Repo_Commit=sha, **about)

    def _blob(self, oid: str) -> None:
        if self.command == "PUT":
            self.server.blobs[oid] = self._body
        self._send(200, self.server.blobs[oid] if self.command == "GET" else b"")

    def _create(self, asked: dict) -> None:
        repo_id = f"{asked['organization']}/{asked['name']}"
        if not self._known():
            return self._send(401, X_Error_Message="Invalid username or password.")
        if repo_id in self.server.repositories:
            return self._send(409, {"url": f"{self.server.url}/{repo_id}"})
        self.server.repository(repo_id, private=asked.get("visibility") == "private")
        return self._send(200, {"url": f"{self.server.url}/{repo_id}"})

    def _validate(self, card: str) -> None:
        """As the hub does: a mapping between two lines of dashes, of values that it knows."""
        parts = card.split("---\n")
        header = yaml.safe_load(parts[1]) if card.startswith("---\n") and len(parts) > 2 else {}
        wrong = [
            f'"{key}" must be one of {known}'
            for key, known in (("license", LICENSES), ("pipeline_tag", PIPELINES))
            if key in header and header[key] not in known
        ]
        errors = [{"message": message} for message in wrong]
        self._send(400 if errors else 200, {"errors": errors, "warnings": []})

    def _preupload(self, files: list[dict]) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"] in self.server.large else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        self._send(200, {"files": modes})

    def _batch(self, asked: dict) -> None:
        objects = [
            {**part, "actions": {"upload": {"href": f"{self.server.store}/{part['oid']}"}}}
            for part in asked["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repo_id: str, repository: Repository, branch: str) -> None:
        files, message = {}, ""
        for line in self._body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert item["key"] == "lfsFile"
                files[value["path"]] = self.server.blobs[value["oid"]]
        sha = repository.commit(files, branch, message)
        url = f"{self.server.url}/{repo_id}/commit/{sha}"
        self._send(200, {"commitUrl": url, "commitOid": sha})
