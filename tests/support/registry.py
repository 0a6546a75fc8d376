"""Docker's registry on a free port of the loopback, and pushing to it without our own code."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import machine
from tests.support.ports import free_port

if TYPE_CHECKING:
    from typing import Self

    from tests.support.images import BaseImage

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/content}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
{extra}
"""
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """A running registry; `address` is HOST:PORT, spoken to in plain http."""

    def __init__(
        self, folder: Path, *, extra: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it; `extra` are further lines of its YAML configuration.

        `environment` overrides single settings: REGISTRY_HTTP_TLS_KEY and so on.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = folder / "config.yml"
        config.write_text(_CONFIG.format(folder=folder, address=self.address, extra=extra))
        program = machine.program("registry")
        assert program, "docker-registry is not installed"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", config],
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        self._wait_until_it_answers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; what it stores stays in its folder."""
        self._process.terminate()
        self._process.wait(120)

    def push(self, image: BaseImage, name: str) -> str:
        """Put an image under REPOSITORY:TAG; the whole reference."""
        repository, _, tag = name.partition(":")
        manifest_bytes = image.blob(image.manifest_digest)
        manifest = json.loads(manifest_bytes)
        for descriptor in (manifest["config"], *manifest["layers"]):
            self.put_blob(repository, descriptor["digest"], image.blob(descriptor["digest"]))
        self.put_manifest(repository, tag or "latest", manifest_bytes)
        return f"{self.address}/{repository}:{tag or 'latest'}"

    def put_blob(self, repository: str, digest: str, content: bytes) -> None:
        """Upload one blob in one piece."""
        status, headers, _ = self.ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        if status == 200:
            return
        status, headers, _ = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202
        place = headers["Location"].partition(self.address)[2]
        place += ("&" if "?" in place else "?") + f"digest={digest}"
        octets = {"Content-Type": "application/octet-stream"}
        status, _, answer = self.ask("PUT", place, content, octets)
        assert status == 201, answer

    def put_manifest(
        self, repository: str, reference: str, content: bytes, media_type: str = _MANIFEST
    ) -> None:
        """Upload a manifest or an index under a tag or digest."""
        place = f"/v2/{repository}/manifests/{reference}"
        status, _, answer = self.ask("PUT", place, content, {"Content-Type": media_type})
        assert status == 201, answer

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request: (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _wait_until_it_answers(self) -> None:
        for _ in range(200):
            if self._process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            try:
                if self.ask("GET", "/v2/")[0] in {200, 400, 401}:  # 400: it wants https
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the registry did not answer within ten seconds")
