"""As much of Kubernetes as `bake --on kubernetes` and `kubectl create` speak to, on loopback.

A pod of a Job is a process of this machine: its container's command, with `rootless` on its PATH
and a folder, a home and a store of its own; the image is not looked at, but for its name: one that
begins with `missing/` cannot be pulled, one with `forbidden/` gets no pod, one with `lost/` is
evicted when it has written its first line. Everything else is what a real cluster answers.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support import machine

if TYPE_CHECKING:
    from typing import Self

_CONFIG = """\
apiVersion: v1
kind: Config
current-context: loopback
clusters: [{{name: loopback, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: loopback, context: {{cluster: loopback, user: me, namespace: builds}}}}]
"""
_VERBS = ["create", "delete", "deletecollection", "get", "list"]
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": "batch",
                "versions": [{"groupVersion": "batch/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "batch/v1", "version": "v1"},
            }
        ],
    },
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis/batch/v1": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "batch/v1",
        "resources": [
            {
                "name": "jobs",
                "singularName": "job",
                "namespaced": True,
                "kind": "Job",
                "verbs": _VERBS,
            }
        ],
    },
}
_JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?$")
_PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods(?:/([^/]+)/log)?$")
_EVENTS = re.compile(r"/api/v1/namespaces/([^/]+)/events$")


class Pod:
    """The only pod of a Job: a process, and what it has written."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.name = f"{job['metadata']['name']}-abcde"
        container = job["spec"]["template"]["spec"]["containers"][0]
        self.image = container["image"]
        self.is_evicted = False
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"
        if self.image.startswith("missing/"):
            return
        for name in ("bin", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        program = folder / "bin" / "rootless"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rootless "$@"\n')
        program.chmod(0o755)
        own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
        own |= {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(machine.PROJECT),
        }
        own |= {one["name"]: one["value"] for one in container["env"]}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *container["command"]],
                cwd=folder / "tmp",
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self) -> None:
        """As the kubelet ends what is deleted."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)

    @property
    def value(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "metadata": {"name": self.name},
            "spec": {"nodeName": "worker-1", "containers": [{"name": "build"}]},
            "status": self._evicted() if self.is_evicted else self._status(),
        }

    @staticmethod
    def _evicted() -> dict[str, Any]:
        return {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}

    def _status(self) -> dict[str, Any]:
        code = self.process.poll() if self.process else None
        if not self.process:
            message = f'failed to pull image "{self.image}"'
            state: dict[str, Any] = {"waiting": {"reason": "ErrImagePull", "message": message}}
        elif code is None:
            state = {"running": {}}
        else:
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        phase = "Pending" if not self.process else "Running" if code is None else "Succeeded"
        container = {"name": "build", "state": state, "image": self.image, "imageID": ""}
        container |= {"ready": code is None, "restartCount": 0}
        return {"phase": phase, "containerStatuses": [container]}


class Cluster:
    """A running API; `kubeconfig` names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.created: list[dict[str, Any]] = []
        self.server = _Server(self)
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(_CONFIG.format(port=self.server.server_port))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.jobs):
            self.delete(name)
        self.server.shutdown()
        self.server.server_close()

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        """A new Job, and its pod."""
        name = job["metadata"]["name"]
        self.jobs[name] = job
        self.created.append(job)
        image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        if not image.startswith("forbidden/"):
            self.pods[name] = Pod(self.folder / name, job)
        return job

    def delete(self, name: str) -> None:
        """A Job with its pod."""
        self.jobs.pop(name, None)
        if pod := self.pods.pop(name, None):
            pod.end()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What is said of a Job."""
        if name in self.pods or name not in self.jobs:
            return []
        message = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'
        about = {"kind": "Job", "name": name}
        return [
            {"metadata": {}, "involvedObject": about, "reason": "FailedCreate", "message": message}
        ]


class _Server(ThreadingHTTPServer):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cluster = cluster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # noqa: A002
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path in _DISCOVERY:
            self._tell(200, _DISCOVERY[url.path])
        elif found := _JOBS.match(url.path):
            job = self.server.cluster.jobs.get(found[2])
            self._tell(200, job) if job else self._refuse(404, "NotFound", found[2])
        elif found := _PODS.match(url.path):
            if found[2]:
                self._follow(
                    next(p for p in self.server.cluster.pods.values() if p.name == found[2])
                )
            else:
                wanted = asked["labelSelector"].removeprefix("job-name=")
                pod = self.server.cluster.pods.get(wanted)
                self._tell(200, _list("Pod", [pod.value] if pod else []))
        elif _EVENTS.match(url.path):
            chosen = dict(word.split("=") for word in asked["fieldSelector"].split(","))
            self._tell(
                200, _list("Event", self.server.cluster.events(chosen["involvedObject.name"]))
            )
        else:
            self._refuse(404, "NotFound", url.path)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._tell(201, self.server.cluster.create(body))

    def do_DELETE(self):
        url = urlsplit(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key, _, value = parse_qs(url.query)["labelSelector"][0].partition("=")
        for name, job in list(self.server.cluster.jobs.items()):
            if job["metadata"]["labels"].get(key) == value:
                self.server.cluster.delete(name)
        self._tell(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _tell(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status, reason, what):
        told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
        self._tell(status, told | {"reason": reason, "message": f"{what} not found"})

    def _follow(self, pod):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        assert pod.process
        ended = threading.Event()
        with pod.log.open("rb") as log:
            while True:
                is_over = pod.process.poll() is not None
                while piece := log.read(4096):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    pod.is_evicted = pod.image.startswith("lost/")
                if is_over or pod.is_evicted:
                    break
                ended.wait(0.05)
        self.wfile.write(b"0\r\n\r\n")


def _list(kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {}, "items": items}
