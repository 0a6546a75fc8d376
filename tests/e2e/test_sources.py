"""Mirrors, other places and certificates for single registries, as podman configures them."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from base64 import b64encode

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.images import layer, write_layout
from tests.support.registry import Registry
from tests.support.tunnel import Tunnel

pytestmark = pytest.mark.needs("userns")


@pytest.fixture
def image(tmp_path):
    return write_layout(tmp_path / "layout", "x:1", [layer({"f": os.urandom(300_000)})])


@pytest.fixture
def user(rootless, tmp_path):
    """The command line of a user whose home is tmp_path, with `conf(TOML)` for registries.conf."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "SSL_CERT_FILE"):
        rootless.environment.pop(name, None)
    rootless.environment |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    containers = tmp_path / ".config" / "containers"
    containers.mkdir(parents=True)
    rootless.containers = containers
    rootless.conf = (containers / "registries.conf").write_text
    return rootless


def mirrored(mirror, primary, **more):
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(
        [
            f'[[registry]]\nlocation = "{primary.address}"',
            f'[[registry.mirror]]\nlocation = "{mirror.address}/cache"',
            *lines,
        ]
    )


def nothing(request):
    return Answer(404)


def digest_of(rootless, name):
    return json.loads(rootless.ok("inspect", name))[0]["RepoDigests"][0].partition("@")[2]


def test_a_mirror_is_asked_and_the_name_stays(user, image):
    with (
        HostileRegistry(serving(image, "cache/a/b")) as mirror,
        HostileRegistry(nothing) as primary,
    ):
        user.conf(mirrored(mirror, primary))
        name = f"{primary.address}/a/b:1"
        said = user.ok("pull", name)
        assert said.endswith(f"{name}\n")
        assert primary.requests == []
        assert len(mirror.requests) >= 3
    assert digest_of(user, name) == image.manifest_digest


@pytest.mark.parametrize("trouble", [404, 401, 429, 500, "html", "other digest", "refused"])
def test_a_mirror_that_fails_is_passed_over(user, image, tmp_path, trouble):
    other = write_layout(tmp_path / "other", "x:1", [layer({"g": b"x"})])
    honest = serving(other, "cache/a/b")

    def respond(request):
        if trouble == "html":
            return Answer(200, b"<html>", {"Content-Type": "text/html"})
        if trouble == "other digest":
            path = request.path.replace(image.manifest_digest, other.manifest_digest)
            return honest(request._replace(path=path))
        return Answer(trouble, headers={"Retry-After": "50"})

    with HostileRegistry(serving(image, "a/b")) as primary:
        with HostileRegistry(respond) as mirror:
            user.conf(mirrored(mirror, primary))
            name = f"{primary.address}/a/b@{image.manifest_digest}"
            if trouble != "refused":
                user.ok("pull", name, timeout=40)
                assert len(mirror.requests) <= 2
        if trouble == "refused":
            user.ok("pull", name, timeout=40)
    assert digest_of(user, name) == image.manifest_digest


def test_a_mirror_that_breaks_in_the_middle_of_a_blob(user, image):
    honest = serving(image, "cache/a/b")

    def respond(request):
        answer = honest(request)
        return answer._replace(cut=100_000) if len(answer.body) > 200_000 else answer

    with HostileRegistry(respond) as mirror, HostileRegistry(serving(image, "a/b")) as primary:
        user.conf(mirrored(mirror, primary))
        user.ok("pull", f"{primary.address}/a/b:1")
        ranges = [one.headers.get("Range") for one in primary.requests if "/blobs/" in one.path]
    assert ranges == ["bytes=100000-"]


def test_where_all_fail_each_is_told(user):
    with HostileRegistry(nothing) as mirror, HostileRegistry(nothing) as primary:
        user.conf(mirrored(mirror, primary))
        done = user("pull", f"{primary.address}/a/b:1")
    assert done.exit == 1
    assert f"{primary.address} has no a/b:1" in done.stderr
    assert f"its mirror {mirror.address}: {mirror.address} has no a/b:1" in done.stderr


def test_a_mirror_gets_no_login_but_its_own(user, image, tmp_path):
    def closed(honest):
        def respond(request):
            if not request.headers.get("Authorization"):
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            return honest(request)

        return respond

    def logins(**passwords):
        auths = {
            key: {"auth": b64encode(word.encode()).decode()} for key, word in passwords.items()
        }
        (tmp_path / ".docker").mkdir(exist_ok=True)
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": auths}))

    def sent(registry):
        return {one.headers.get("Authorization") for one in registry.requests}

    with (
        HostileRegistry(closed(serving(image, "cache/a/b"))) as mirror,
        HostileRegistry(closed(serving(image, "a/b"))) as primary,
    ):
        user.conf(mirrored(mirror, primary))
        name = f"{primary.address}/a/b:1"
        logins(**{primary.address: "me:primary"})
        user.ok("pull", name)
        assert sent(mirror) == {None}
        user.ok("rmi", name)
        primary.requests.clear()
        logins(**{primary.address: "me:primary", mirror.address: "me:mirror"})
        user.ok("pull", name)
        assert sent(mirror) == {None, "Basic " + b64encode(b"me:mirror").decode()}
        assert primary.requests == []


def test_a_mirror_for_digests_leaves_the_tag_to_the_registry(user, image):
    with (
        HostileRegistry(serving(image, "cache/a/b")) as mirror,
        HostileRegistry(serving(image, "a/b")) as primary,
    ):
        user.conf(mirrored(mirror, primary, **{"pull-from-mirror": "digest-only"}))
        user.ok("pull", f"{primary.address}/a/b:1")
        assert [path for path in primary.paths() if path != "/v2/"] == ["/v2/a/b/manifests/1"]
        assert {path.split("/")[5] for path in mirror.paths() if path != "/v2/"} == {"blobs"}


def test_a_blocked_registry_is_asked_for_nothing(user, image):
    with HostileRegistry(serving(image, "a/b")) as registry:
        user.conf(f'[[registry]]\nlocation = "{registry.address}"\nblocked = true\n')
        for words in (["pull"], ["run", "--rm"]):
            done = user(*words, f"{registry.address}/a/b:1")
            assert done.exit != 0
            assert "is blocked in" in done.stderr
        done = user("login", "-u", "me", "-p", "x", registry.address)
        assert "is blocked in" in done.stderr
        assert registry.requests == []


def test_an_alias_says_where_a_short_name_comes_from(user, image, tmp_path):
    with HostileRegistry(serving(image, "team/app")) as registry:
        user.conf(f'[aliases]\n"app" = "{registry.address}/team/app"\n')
        assert user.ok("pull", "app:1").endswith("docker.io/library/app:1\n")
        user.ok("rmi", "app:1")
        (tmp_path / "Dockerfile").write_text("FROM app:1\nLABEL a=b\n")
        user.ok("build", "-q", str(tmp_path))


@pytest.mark.needs("registry")
def test_a_pull_through_cache(user, image, tmp_path):
    """docker's registry as a mirror: the second pull needs the first registry no more."""
    folder = tmp_path / "cache"
    with Registry(tmp_path / "primary") as primary:
        primary.push(image, "a/b:1")
        with Registry(folder, extra=f'proxy: {{remoteurl: "http://{primary.address}"}}') as mirror:
            user.conf(
                f'[[registry]]\nlocation = "{primary.address}"\n'
                f'[[registry.mirror]]\nlocation = "{mirror.address}"\n'
            )
            name = f"{primary.address}/a/b:1"
            user.ok("pull", name)
            user.ok("rmi", name)
            primary.stop()
            user.ok("pull", f"{primary.address}/a/b@{image.manifest_digest}")


# --- certificates ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """ca.crt, server.cert and .key, client.cert and .key."""
    folder = tmp_path_factory.mktemp("keys")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, *new, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
    issued = ("-CA", "ca.crt", "-CAkey", "ca.key", *names)
    for one in ("server", "client"):
        files = ("-keyout", f"{one}.key", "-out", f"{one}.cert")
        openssl(folder, *new, *issued, "-subj", f"/CN={one}", *files)
    return folder


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module", params=["anybody", "known clients"])
def secure(request, tmp_path_factory, keys):
    """docker's registry behind TLS with an authority of its own; the second wants to know us."""
    folder = tmp_path_factory.mktemp("secure")
    image = write_layout(folder / "layout", "x:1", [layer({"f": b"x"})])
    with Registry(folder / "registry") as plain:
        plain.push(image, "a/b:1")
    environment = {
        "REGISTRY_HTTP_TLS_CERTIFICATE": str(keys / "server.cert"),
        "REGISTRY_HTTP_TLS_KEY": str(keys / "server.key"),
    }
    if request.param == "known clients":
        environment["REGISTRY_HTTP_TLS_CLIENTCAS"] = f"[{keys}/ca.crt]"
    with Registry(folder / "registry", environment=environment) as running:
        running.wants_client = request.param == "known clients"
        yield running


def trusting(keys, folder, *, client):
    folder.mkdir(parents=True)
    for name in ("ca.crt", *(("client.cert", "client.key") if client else ())):
        shutil.copy(keys / name, folder)


@pytest.mark.needs("registry")
@pytest.mark.parametrize("how", ["flag", "containers", "docker"])
def test_certificates_for_a_registry(user, secure, keys, tmp_path, how):
    name = f"{secure.address}/a/b:1"
    done = user("pull", name)
    assert done.exit == 1
    assert "cannot be trusted" in done.stderr
    assert "--cert-dir" in done.stderr
    folder = {
        "flag": tmp_path / "here",
        "containers": user.containers / "certs.d" / secure.address,
        "docker": user.containers.parent / "docker" / "certs.d" / secure.address,
    }[how]
    words = ["--cert-dir", str(folder)] if how == "flag" else []
    trusting(keys, folder, client=False)
    done = user("pull", *words, name)
    assert (done.exit == 0) != secure.wants_client, done.stderr
    shutil.rmtree(folder)
    trusting(keys, folder, client=True)
    user.ok("pull", *words, name)
    user.ok("login", *words, "-u", "me", "-p", "x", secure.address)


@pytest.mark.needs("registry")
def test_certificates_of_another_registry_do_not_count(user, secure, keys):
    host, _, port = secure.address.partition(":")
    for other in (host, f"{host}:1", f"{host}:{port}0"):
        trusting(keys, user.containers / "certs.d" / other, client=True)
    assert "cannot be trusted" in user("pull", f"{secure.address}/a/b:1").stderr


@pytest.mark.needs("registry")
def test_insecure_is_said_in_the_file(user, secure):
    user.conf(f'[[registry]]\nlocation = "{secure.address}"\ninsecure = true\n')
    done = user("pull", f"{secure.address}/a/b:1")
    assert (done.exit == 0) != secure.wants_client
    assert ("wants a certificate of yours" in done.stderr) == secure.wants_client


@pytest.mark.parametrize("missing", ["client.key", "client.cert", "all", "garbage", "locked"])
def test_files_that_cannot_be_used_are_named(user, keys, tmp_path, missing):
    folder = tmp_path / "certs"
    if missing != "all":
        trusting(keys, folder, client=True)
    if missing.startswith("client"):
        (folder / missing).unlink()
    if missing == "garbage":
        (folder / "ca.crt").write_text("x")
    if missing == "locked":
        openssl(folder, "ec", "-in", "client.key", "-aes128", "-passout", "pass:x", "-out", "c")
        (folder / "c").rename(folder / "client.key")
    with HostileRegistry(lambda request: Answer(400)) as registry:  # as a TLS server answers http
        done = user("pull", "--cert-dir", str(folder), f"{registry.address}/a/b:1", timeout=120)
    assert done.exit == 1
    assert str(folder) in done.stderr


# --- how often one may pull -----------------------------------------------------------------


@pytest.mark.parametrize("left", [76, 7])
def test_few_pulls_that_are_left_are_told(user, image, left):
    quota = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": f"{left};w=21600"}
    honest = serving(image, "a/b")

    def respond(request):
        answer = honest(request)
        limited = "/manifests/" in request.path
        return answer._replace(headers={**answer.headers, **quota}) if limited else answer

    with HostileRegistry(respond) as registry:
        done = user("pull", f"{registry.address}/a/b:1")
    assert done.exit == 0
    said = f"note: {registry.address}: 7 more images may be pulled, of 100 in 6 hours\n"
    assert done.stderr == (said if left == 7 else "")


def test_too_many_pulls_are_explained(user):
    headers = {"RateLimit-Limit": "100;w=21600", "Retry-After": "5000"}
    with HostileRegistry(lambda request: Answer(429, headers=headers)) as registry:
        done = user("pull", f"{registry.address}/a/b:1", timeout=120)
        assert done.exit == 1
        where = registry.address
        assert f"{where} limits how often images may be pulled (100 in 6 hours)" in done.stderr
        assert (
            f"wait 84 minutes; or log in, which usually allows more: rootless login {where};"
            in done.stderr
        )
        assert "a mirror" in done.stderr
        assert len(registry.requests) == 2


def empty(request):
    """A registry without any image."""
    return Answer(200, b"{}") if request.path == "/v2/" else Answer(404)


RULES = {
    "a mirror": """
        [[registry]]
        location = "ONE"
        insecure = true
        [[registry.mirror]]
        location = "TWO/cache"
        insecure = true
        [[registry.mirror]]
        location = "THREE"
        insecure = true
        """,
    "another place": '[[registry]]\nprefix = "ONE/a"\nlocation = "TWO/x/y"\ninsecure = true\n',
    "the longest prefix": """
        [[registry]]
        prefix = "ONE"
        location = "TWO"
        insecure = true
        [[registry]]
        prefix = "ONE/a/b"
        location = "THREE/c"
        insecure = true
        """,
    "only whole names": """
        [[registry]]
        location = "ONE"
        insecure = true
        [[registry]]
        prefix = "ONE/a/bb"
        location = "TWO"
        insecure = true
        """,
    "another place and a mirror": """
        [[registry]]
        prefix = "ONE/a"
        location = "TWO/a"
        insecure = true
        [[registry.mirror]]
        location = "THREE/m"
        insecure = true
        """,
    "blocked": '[[registry]]\nlocation = "ONE"\nblocked = true\n',
    "digests only": """
        [[registry]]
        location = "ONE"
        insecure = true
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "TWO"
        insecure = true
        """,
}


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("reference", ["a/b:1", "a/b@sha256:" + "a" * 64])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_skopeo_asks_in_the_same_places(user, tmp_path, rules, reference):
    """Nobody has the image: each is asked in turn, and for what."""
    with (
        HostileRegistry(empty) as one,
        HostileRegistry(empty) as two,
        HostileRegistry(empty) as three,
    ):
        servers = {"ONE": one, "TWO": two, "THREE": three}

        def asked():
            """Each place that was asked for the manifest, once, in the order of the names."""
            found = {}
            for name, server in servers.items():
                paths = [path for path in server.paths() if "/manifests/" in path]
                found[name] = list(dict.fromkeys(paths))
                server.requests.clear()
            return found

        text = "".join(f"{line.strip()}\n" for line in rules.splitlines())
        for name, server in servers.items():
            text = text.replace(f'"{name}', f'"{server.address}')
        user.conf(text)
        assert user("pull", f"{one.address}/{reference}").exit == 1
        ours = asked()
        conf = ["--registries-conf", str(user.containers / "registries.conf")]
        look = ["skopeo", *conf, "inspect", f"docker://{one.address}/{reference}"]
        done = subprocess.run(look, env=user.environment, capture_output=True, check=False)
        assert done.returncode == 1
        assert ours == asked(), done.stderr


@pytest.mark.parametrize("what", ["config", "layer", "part of a layer"])
@pytest.mark.parametrize("verb", ["pull", "copy"])
def test_a_mirror_that_sends_other_bytes_of_the_right_size_is_passed_over(
    user, image, tmp_path, verb, what
):
    """Also where the next place is asked to go on behind the wrong bytes."""
    manifest = json.loads(image.blob(image.manifest_digest))
    blob = manifest["config"] if what == "config" else manifest["layers"][0]
    honest = serving(image, "cache/a/b")

    def respond(request):
        answer = honest(request)
        if not request.path.endswith(blob["digest"]):
            return answer
        wrong = bytes(byte ^ 1 for byte in answer.body)
        return answer._replace(body=wrong, cut=100_000 if what == "part of a layer" else None)

    with (
        HostileRegistry(serving(image, "a/b")) as primary,
        HostileRegistry(respond) as mirror,
    ):
        user.conf(mirrored(mirror, primary))
        name = f"{primary.address}/a/b:1"
        if verb == "pull":
            user.ok("pull", name, timeout=120)
            assert digest_of(user, name) == image.manifest_digest
        else:
            user.ok("copy", f"docker://{name}", f"oci:{tmp_path}/copied:x", timeout=120)
        assert any(one.path.endswith(blob["digest"]) for one in mirror.requests)
        assert any(one.path.endswith(blob["digest"]) for one in primary.requests)
    if verb == "pull":
        assert "nothing in the store is damaged" in user.ok("system", "check")


def test_wrong_bytes_of_the_registry_itself_end_the_pull(user, image):
    honest = serving(image, "a/b")

    def respond(request):
        answer = honest(request)
        if "/blobs/" not in request.path:
            return answer
        return answer._replace(body=bytes(byte ^ 1 for byte in answer.body))

    with HostileRegistry(respond) as primary:
        said = user("pull", f"{primary.address}/a/b:1", timeout=120)
        assert said.exit == 1
        assert "has other contents" in said.stderr
        assert len([one for one in primary.requests if "/blobs/" in one.path]) == 1


def test_the_hubs_certificates_have_its_short_name(user, tmp_path):
    """The folder is that of the registry as images name it, not that of its server."""
    with HostileRegistry(nothing) as primary:
        key, cert = tmp_path / "key", tmp_path / "cert"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
             "-out", cert, "-days", "2", "-subj", "/CN=registry-1.docker.io"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        primary._server.socket = context.wrap_socket(primary._server.socket, server_side=True)
        with Tunnel(primary.address) as proxy:
            environment = {**user.environment, "https_proxy": f"http://{proxy.address}"}
            said = user("pull", "busybox", env=environment, timeout=120)
    assert "the certificate of registry-1.docker.io cannot be trusted" in said.stderr
    assert "certs.d/docker.io" in said.stderr
