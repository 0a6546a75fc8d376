"""Repositories fetched by git: refs, submodules, folders, times, and servers that are hostile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rootless.build.inputs.git import Git, inside
from rootless.dockerfile import remote
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from tests.support.hostile_registry import Answer, HostileRegistry
from tests.support.repositories import TIME, Repositories

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def server(tmp_path):
    repositories = Repositories(tmp_path / "repositories")
    with HostileRegistry(repositories.respond) as running:
        running.repositories = repositories
        running.url = f"http://{running.address}/git/r.git"
        yield running


@pytest.fixture
def repository(server):
    """Two commits; v1 and the annotated v2 are the first, dev too."""
    made = server.repositories.make("r.git")
    made.commit({"run.sh": "#!/bin/sh\n"}, 0o755)
    made.first = made.commit({"a": "1\n", "d/e/f": "f\n"})
    made.git("tag", "v1")
    made.git("tag", "-a", "-m", "two", "v2")
    made.git("branch", "dev")
    (made.path / "link").symlink_to("d")
    (made.path / "out").symlink_to("/etc")
    made.second = made.commit({"a": "2\n"})
    return made


@pytest.fixture
def git():
    return Git(os.environ)


@pytest.fixture
def fetch(git, server, tmp_path):
    """`fetch("#v1:d")` → (the commit, all files below by path), from the repository r.git."""
    count = iter(range(100))

    def run(rest):
        source = remote.git(server.url + rest)
        commit = git.commit(source)
        staged = tmp_path / f"staged{next(count)}"
        staged.mkdir()
        git.check_out(source, commit, str(staged))
        assert os.listdir(staged) == ["tree"]
        return commit, inside(f"{staged}/tree", source)

    return run


def text(tree):
    return Path(tree, "a").read_text()


def names(folder):
    return sorted(
        os.path.relpath(os.path.join(top, name), folder)
        for top, folders, files in os.walk(folder)
        for name in (*files, *(one for one in folders if os.path.islink(os.path.join(top, one))))
    )


@pytest.mark.parametrize("rest", ["", "#main", "?branch=main", "#refs/heads/main", "?ref=main"])
def test_the_newest(fetch, repository, rest):
    commit, tree = fetch(rest)
    assert commit == repository.second
    assert names(tree) == ["a", "d/e/f", "link", "out", "run.sh"]
    assert text(tree) == "2\n"
    assert os.stat(f"{tree}/run.sh").st_mode & 0o777 == 0o755
    assert os.stat(f"{tree}/a").st_mode & 0o777 == 0o644
    assert os.stat(f"{tree}/d").st_mode & 0o777 == 0o755


@pytest.mark.parametrize("rest", ["#v1", "#v2", "?tag=v2", "#dev", "#refs/tags/v1", "#tags/v1"])
def test_an_older_one_by_its_ref(fetch, repository, rest):
    commit, tree = fetch(rest)
    assert commit == repository.first
    assert text(tree) == "1\n"


def test_a_branch_wins_over_a_tag_of_its_name(fetch, repository):
    repository.git("tag", "both", "v1")
    repository.git("branch", "both", "main")
    assert fetch("#both")[0] == repository.second
    assert fetch("?tag=both")[0] == repository.first


def test_a_commit_needs_no_question(git, fetch, server, repository):
    source = remote.git(f"{server.url}#{repository.first}")
    assert git.commit(source) == repository.first
    assert server.requests == []
    assert text(fetch(f"#{repository.first}")[1]) == "1\n"


def test_a_commit_that_the_server_does_not_give_alone(fetch, repository, server):
    """As servers do that speak the old protocol only: then all of it is fetched."""
    answer = server.respond

    def old(request):
        headers = {key: one for key, one in request.headers.items() if key != "Git-Protocol"}
        return answer(request._replace(headers=headers))

    server.respond = old
    commit, tree = fetch(f"#{repository.first}")
    assert commit == repository.first
    assert text(tree) == "1\n"


def test_times_are_the_commits(fetch, repository):
    _, tree = fetch("")
    for name in ("a", "d", "d/e/f", "link", "."):
        assert os.lstat(f"{tree}/{name}").st_mtime == TIME


def test_a_folder_of_it(fetch, repository):
    assert names(fetch("#v1:d")[1]) == ["e/f"]
    assert names(fetch("#v1:/d/e/")[1]) == ["f"]
    assert names(fetch("?subdir=link")[1]) == ["e/f"]


@pytest.mark.parametrize("folder", ["nosuch", "a", "out", "../../etc", "out/ssl"])
def test_a_folder_that_is_not_there(fetch, repository, folder):
    with pytest.raises(NotFoundError, match="has no folder"):
        fetch(f"#main:{folder}")


def test_a_ref_that_is_not_there(fetch, repository):
    with pytest.raises(NotFoundError, match="no branch or tag 'nosuch'"):
        fetch("#nosuch")
    with pytest.raises(NotFoundError, match=r"no branch or tag") as caught:
        fetch(f"#{repository.first[:8]}")
    assert "digits" in caught.value.hint
    with pytest.raises(RootlessError, match="cannot be fetched"):
        fetch(f"#{'0' * 40}")


def test_another_commit_than_was_said(fetch, repository):
    assert fetch(f"?ref=v1&commit={repository.first[:9]}")[0] == repository.first
    with pytest.raises(IntegrityError, match=f"is the commit {repository.first}, not"):
        fetch(f"?ref=v1&commit={repository.second}")


def test_the_repository_itself_is_kept(fetch, repository, server):
    _, tree = fetch("?ref=v1&keep-git-dir")
    run = ["git", "-c", "safe.directory=*", "-C", tree]
    assert subprocess.check_output([*run, "rev-parse", "HEAD"], text=True).strip() == (
        repository.first
    )
    assert subprocess.check_output([*run, "status", "--porcelain"], text=True) == ""
    origin = subprocess.check_output([*run, "remote", "get-url", "origin"], text=True).strip()
    assert origin == server.url
    assert not os.path.exists(f"{tree}/.git/hooks")
    _, tree = fetch("?ref=v1&keep-git-dir&subdir=d")
    assert names(tree) == ["e/f"]


def test_submodules(fetch, repository, server):
    inner = server.repositories.make("inner.git")
    inner.commit({"in": "in\n"})
    repository.git("submodule", "add", "-q", server.url.replace("r.git", "inner.git"), "mod")
    repository.commit({})
    assert names(fetch("")[1]) == [".gitmodules", "a", "d/e/f", "link", "mod/in", "out", "run.sh"]
    assert "mod/in" not in names(fetch("?submodules=false")[1])


def test_a_submodule_on_this_machine_is_not_read(fetch, repository, server, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    subprocess.run(["git", "init", "-q", secret], check=True)
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner(secret), "m")
    repository.commit({})
    with pytest.raises(RootlessError, match=r"submodules of .* cannot be fetched"):
        fetch("")


def inner(folder):
    """A repository with a commit."""
    (folder / "key").write_text("secret")
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", folder]
    subprocess.run([*run, "add", "-A"], check=True)
    subprocess.run([*run, "commit", "-qm", "x"], check=True)
    return str(folder)


def test_settings_of_the_user_are_not_obeyed(fetch, repository, server, tmp_path, monkeypatch):
    """Nor may a repository bring attributes that run something: a filter needs a setting."""
    marker = tmp_path / "marker"
    config = tmp_path / "home" / ".gitconfig"
    config.parent.mkdir()
    config.write_text(f'[core]\n hooksPath = {tmp_path}\n[filter "x"]\n smudge = touch {marker}\n')
    hook = tmp_path / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    repository.commit({".gitattributes": "* filter=x\n"})
    monkeypatch.setenv("HOME", str(config.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    fetch("")
    assert not marker.exists()


def test_a_server_that_is_none(git, server):
    with pytest.raises(RootlessError, match="cannot be fetched") as caught:
        git.commit(remote.git(server.url))
    assert "check the URL" in caught.value.hint


def test_a_list_of_refs_without_an_end(git, server):
    line = b"003f" + b"0" * 40 + b" refs/heads/" + b"x" * 10 + b"\n"
    head = b"001e# service=git-upload-pack\n0000"

    def endless():
        kind = b"application/x-git-upload-pack-advertisement"
        yield b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n" + head
        for _ in range(200_000):
            yield line

    server.respond = lambda _: Answer(raw=endless())
    with pytest.raises(RootlessError):
        git.commit(remote.git(server.url + "#main"))


def test_what_the_server_says_is_not_sent_to_the_terminal(git, server):
    server.respond = lambda _: Answer(403, b"\x1b[31mred\x1b[0m", {"Content-Type": "text/plain"})
    with pytest.raises(RootlessError) as caught:
        git.commit(remote.git(server.url))
    assert "\x1b" not in caught.value.message


def test_a_login_is_wanted(git, server):
    server.respond = lambda _: Answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
    with pytest.raises(RootlessError, match="cannot be fetched"):
        git.commit(remote.git(server.url.replace("http://", "http://me:hidden@")))
    assert any(one.headers.get("Authorization") for one in server.requests)


def test_a_login_in_the_url_is_in_no_file_and_no_command(repository, server, tmp_path):
    honest = server.respond

    def respond(request):
        if "/r.git" not in request.path:  # a submodule, which is not told
            assert "Authorization" not in request.headers
        elif request.headers.get("Authorization") != "basic bWU6aGkgZGRlbg==":  # me:hi dden
            return Answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        return honest(request)

    inner = server.repositories.make("inner.git")
    inner.commit({"in": "in\n"})
    repository.git("submodule", "add", "-q", server.url.replace("r.git", "inner.git"), "m")
    text = '[submodule "m"]\n path = m\n url = ../inner.git\n'
    repository.commit({".gitmodules": text})
    server.respond = respond
    server.url = server.url.replace("http://", "http://me:hi%20dden@")
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("git")
    (folder / "git").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    ours = Git({"PATH": f"{folder}:{os.environ['PATH']}"})
    source = remote.git(f"{server.url}?keep-git-dir=1")
    staged = tmp_path / "staged"
    staged.mkdir()
    ours.check_out(source, ours.commit(source), str(staged))
    tree = f"{staged}/tree"
    assert "m/in" in names(tree)
    said = (tmp_path / "log").read_text()
    assert "ls-remote" in said
    for content in (said, *(Path(tree, one).read_bytes().decode("latin-1") for one in files(tree))):
        assert "dden" not in content
        assert "bWU6" not in content


def files(tree):
    return [one for one in names(tree) if not os.path.islink(os.path.join(tree, one))]


@pytest.mark.parametrize(
    ("login", "secrets"),
    [("", {"GIT_AUTH_TOKEN": b"abc"}), ("", {"GIT_AUTH_HEADER": b"x"}), ("me:hidden@", {})],
)
def test_a_login_does_not_follow_a_redirect(server, repository, tmp_path, login, secrets):
    with HostileRegistry(server.repositories.respond) as other:
        place = f"http://{other.address.replace('127.0.0.1', 'localhost')}"
        server.respond = lambda request: Answer(302, b"", {"Location": place + request.path})
        source = remote.git(server.url.replace("http://", f"http://{login}"))
        with pytest.raises(RootlessError, match="cannot be fetched"):
            Git(os.environ, secrets).check_out(source, repository.second, str(tmp_path))
        assert server.requests[0].headers["Authorization"]
        assert not other.requests
        ours = Git(os.environ)
        assert ours.commit(remote.git(server.url)) == repository.second
        assert other.requests


def test_without_git():
    with pytest.raises(NotFoundError, match="git is not installed") as caught:
        Git({"PATH": "/nonexistent"})
    assert "apt install git" in caught.value.hint


def test_over_ssh(git, repository, tmp_path, monkeypatch):
    """By a program in place of ssh, which is told never to ask, and runs what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\nfor last; do :; done\nsh -c "$last"\n')
    ssh.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/home/ada"}
    environment |= {"SSH_AUTH_SOCK": "/run/agent", "GIT_SSH_COMMAND": "false"}
    ours = Git(environment, agent=None)
    for place in (f"git@example.org:{repository.path}", f"ssh://git@example.org{repository.path}"):
        source = remote.git(f"{place}#v1:d")
        commit = ours.commit(source)
        assert commit == repository.first
        staged = tmp_path / place[:3]
        staged.mkdir()
        ours.check_out(source, commit, str(staged))
        assert names(inside(f"{staged}/tree", source)) == ["e/f"]
    said = (tmp_path / "log").read_text()
    assert "-o BatchMode=yes" in said
    assert "-o UserKnownHostsFile=/home/ada/.ssh/known_hosts" in said
    assert " git@example.org " in said
    assert "Identity" not in said


@pytest.mark.parametrize(
    ("agent", "used", "options"),
    [
        (None, "/run/own", []),
        ("", "", ["IdentityFile=none", "IdentityAgent=none"]),
        ("/run/given", "/run/given", ["IdentityFile=none"]),
    ],
)
def test_whose_keys_ssh_uses(repository, server, tmp_path, agent, used, options):
    """Also for a submodule, whose place somebody else has written."""
    folder = tmp_path / "bin"
    folder.mkdir()
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$SSH_AUTH_SOCK|$@" >>{tmp_path}/log\nexit 255\n')
    ssh.chmod(0o755)
    text = '[submodule "m"]\n path = m\n url = git@example.org:x\n'
    (repository.path / ".gitmodules").write_text(text)
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{repository.first},m")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-qm", "x")
    commit = repository.git("rev-parse", "HEAD")
    path = f"{folder}:{os.environ['PATH']}"
    ours = Git({"PATH": path, "SSH_AUTH_SOCK": "/run/own"}, agent=agent)
    staged = tmp_path / "staged"
    staged.mkdir()
    with pytest.raises(RootlessError):
        ours.commit(remote.git("git@example.org:x"))
    with pytest.raises(RootlessError, match="submodules"):
        ours.check_out(remote.git(server.url), commit, str(staged))
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert line.startswith(f"{used}|")
        assert [word for word in line.split() if "Identity" in word] == options


def test_an_unknown_host_is_explained(repository, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    ssh = folder / "ssh"
    ssh.write_text("#!/bin/sh\necho Host key verification failed. >&2\nexit 255\n")
    ssh.chmod(0o755)
    with pytest.raises(RootlessError, match="cannot be fetched") as caught:
        Git({"PATH": f"{folder}:{os.environ['PATH']}"}).commit(remote.git("git@example.org:x"))
    assert "ssh-keyscan" in caught.value.hint
