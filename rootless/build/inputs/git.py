"""Files of a git repository at one commit, brought by the program `git`.

A repository is somebody else's: it is fetched with none of the user's or the machine's git
settings, no hooks, no prompts and no helpers, over the transports that docker allows, also for
submodules; refs and commits are checked before git sees them. What it wrote is a directory like any
other context's: links in it are resolved inside it. Runs in the builder, or before it, as the user.
A crash leaves the directory, which is the caller's staging; git itself ends with this process.
"""

from __future__ import annotations

import os
from select import POLLHUP, POLLIN, poll

from rootless import inroot, process, programs
from rootless.dockerfile.remote import GitSource, is_commit
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.linux import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.sharedRepository": "umask",
    "credential.helper": "",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.git.allow": "always",
    "advice.detachedHead": "false",
    "fetch.recurseSubmodules": "false",
}
_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PASSED_ON = ("PATH", *_PROXIES, *(name.upper() for name in _PROXIES))
_MOST = 1 << 20  # bytes of an answer: a few refs
_END = 1 << 12  # bytes of what git complains of that are kept
_SIGPIPE, _SIG_DFL = 13, 0


class Git:
    """The program, with what it needs to know of the user."""

    def __init__(
        self,
        environment: Mapping[str, str],
        secrets: Mapping[str, bytes] | None = None,
        agent: str | None = "",
        watch: Callable[[bytes], object] | None = None,
    ) -> None:
        """`environment` is the user's; proxies and known hosts are taken from it. `secrets` may be
        logins, by BuildKit's names: see `_login`. `agent` is the socket of the one ssh agent that
        is asked, "" for none; None for the user's agent and key files. `watch` is told what git
        says of how far it is, piece by piece.

        NotFoundError when there is no git.
        """
        self._secrets = secrets or {}
        self._watch = watch
        self._program = programs.find("git", environment.get("PATH", ""))
        if not self._program:
            raise NotFoundError(
                "the program git is not installed, which fetches git repositories",
                hint="install it (apt install git, dnf install git), or name a directory",
            )
        passed_on = {name: one for name, one in environment.items() if name in _PASSED_ON}
        self._environment = {**passed_on, **_ENVIRONMENT}
        self._environment["GIT_SSH_COMMAND"] = _ssh(environment, agent)
        if socket := environment.get("SSH_AUTH_SOCK") if agent is None else agent:
            self._environment["SSH_AUTH_SOCK"] = socket
        if certificates := environment.get("SSL_CERT_FILE"):
            self._environment["GIT_SSL_CAINFO"] = certificates

    def commit(self, source: GitSource) -> str:
        """The whole name of the commit that `source` means now; IntegrityError if it is another
        than it says. Nothing is asked of anybody where the name is given.
        """
        self._log_in(source)
        found = source.ref if source.is_pinned else self._asked(source)
        if not found.startswith(source.commit):
            raise IntegrityError(
                f"{source.shown}: {source.ref or 'the default branch'} is the commit {found}, "
                f"not {source.commit}",
                hint="correct the commit, or find out who changed the repository",
            )
        return found

    def check_out(self, source: GitSource, commit: str, staged: str) -> None:
        """Put the files of `commit` into a new directory tree/ in `staged`, an empty directory.

        Their times are the commit's, so the same commit gives the same bytes.
        """
        self._log_in(source)
        tree, folder = os.path.join(staged, "tree"), os.path.join(staged, "git")
        keeps = keeps_repository(source)
        os.mkdir(tree, 0o755)
        if keeps:
            folder = os.path.join(tree, ".git")
        here = (f"--git-dir={folder}", f"--work-tree={tree}")
        self._run(tree, *here, "init", "-q")
        self._run(tree, *here, "remote", "add", "--", "origin", source.shown)
        self._fetch(here, tree, source, commit, keeps=keeps)
        self._run(tree, *here, "checkout", "-q", "--force", "--detach", commit, "--")
        if source.submodules:
            self._submodules(here, tree, source)
        if keeps:
            _forget(folder, ("FETCH_HEAD", "logs", "ORIG_HEAD", "refs/remotes"))
        seconds = self._run(tree, *here, "show", "-s", "--format=%ct", commit, "--").split()
        _settle(tree, int(seconds[0]) if seconds else 0, keeps=keeps)
        if not keeps:
            _forget(staged, ("git",))

    def _asked(self, source: GitSource) -> str:
        """What the remote says of the ref, or of its default branch."""
        wanted = (source.ref, f"{source.ref}^{{}}") if source.ref else ("HEAD",)
        try:
            answer = self._run("/", "ls-remote", "-q", "--", source.shown, *wanted)
        except RootlessError as error:
            raise _unreachable(source, error) from None
        lines = (line.partition("\t") for line in answer.splitlines())
        refs = {name: commit for commit, _, name in lines if is_commit(commit)}
        ref = source.ref or "HEAD"
        tag = f"refs/tags/{ref.removeprefix('refs/tags/')}"
        places = (f"refs/heads/{ref.removeprefix('refs/heads/')}", f"{tag}^{{}}", tag)
        for place in (*places, f"{ref}^{{}}", ref, f"refs/{ref}"):
            if place in refs:
                return refs[place]
        raise NotFoundError(
            f"{source.shown} has no branch or tag {ref!r}",
            hint="a commit is named by all of its digits" if ref.isalnum() else None,
        )

    def _log_in(self, source: GitSource) -> None:
        """What the server of `source` is told of who asks; no command line and no file shows it.

        Git would tell it whoever the server redirects to, so then it follows nobody.
        """
        for name in ("COUNT", "KEY_0", "VALUE_0", "KEY_1", "VALUE_1"):
            self._environment.pop(f"GIT_CONFIG_{name}", None)
        if header := _login(source, self._secrets):
            self._environment |= {
                "GIT_CONFIG_COUNT": "2",
                "GIT_CONFIG_KEY_0": f"http.{source.shown}.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: {header}",
                "GIT_CONFIG_KEY_1": f"http.{source.shown}.followRedirects",
                "GIT_CONFIG_VALUE_1": "false",
            }

    def _fetch(
        self, here: tuple[str, ...], tree: str, source: GitSource, commit: str, *, keeps: bool
    ) -> None:
        """That commit alone where the server gives it; else its ref's history, or everything.

        Tags on it come along where the repository is kept.
        """
        loud = "--progress" if self._watch else "-q"
        fetch = (*here, "fetch", loud, "--force", *(() if keeps else ("--no-tags",)))
        place = f"+{commit}:refs/remotes/origin/HEAD" if keeps else commit
        attempts: list[tuple[str, ...]] = [("--depth=1", "origin", place)]
        if source.ref and not source.is_pinned:
            attempts.append(("origin", source.ref))
        attempts.append(("origin", "+refs/*:refs/remotes/origin/*"))
        first = None
        for attempt in attempts:
            try:
                self._run(tree, *fetch, *attempt)
                self._run(tree, *here, "cat-file", "-e", f"{commit}^{{commit}}")
            except RootlessError as error:
                first = first or error
            else:
                return
        assert first
        raise _unreachable(source, first)

    def _submodules(self, here: tuple[str, ...], tree: str, source: GitSource) -> None:
        if not os.path.lexists(os.path.join(tree, ".gitmodules")):
            return
        update = ("submodule", "update", "-q", "--init", "--recursive", "--checkout")
        try:
            try:
                self._run(tree, *here, *update, "--depth=1")
            except RootlessError:
                self._run(tree, *here, *update)
        except RootlessError as error:
            raise RootlessError(
                f"the submodules of {source.shown} cannot be fetched: {error.message}",
                hint="?submodules=false goes without them",
            ) from None

    def _run(self, folder: str, *argv: str) -> str:
        """What git says to `argv`; RootlessError with its complaint when it fails."""
        settings = [word for pair in _SETTINGS.items() for word in ("-c", "=".join(pair))]
        command = [self._program, *settings, *argv]
        output, complaint, status = _execute(command, folder, self._environment, self._watch)
        if status:
            raise RootlessError(_last(complaint) or f"git ended with exit code {status}")
        return output.decode("utf-8", "surrogateescape")


def keeps_repository(source: GitSource) -> bool:
    """Whether .git is among the files: it is never where only a folder is wanted."""
    return bool(source.keep_git_dir) and _clean(source.subdir) == ""


def _login(source: GitSource, secrets: Mapping[str, bytes]) -> str:
    """What Authorization says: GIT_AUTH_HEADER, or GIT_AUTH_TOKEN as a password; with `.HOST`
    for one host. Else the login in the URL.
    """
    scheme, _, rest = source.remote.partition("://")
    if scheme.lower() not in ("http", "https"):
        return ""
    login, _, host = rest.partition("/")[0].rpartition("@")
    for suffix in (f".{host}", ""):
        if header := secrets.get(f"GIT_AUTH_HEADER{suffix}"):
            return header.decode("latin-1").strip()
        if token := secrets.get(f"GIT_AUTH_TOKEN{suffix}"):
            return _basic(b"x-access-token", token.strip())
    if not login:
        return ""
    from urllib.parse import unquote_to_bytes

    user, _, password = os.fsencode(login).partition(b":")
    return _basic(unquote_to_bytes(user), unquote_to_bytes(password))


def _basic(user: bytes, password: bytes) -> str:
    from base64 import b64encode

    return f"basic {b64encode(user + b':' + password).decode()}"


def _ssh(environment: Mapping[str, str], agent: str | None) -> str:
    """How ssh is asked: never for a password, and with the hosts that the user knows.

    A key of the user's is used without a question, so whoever names the host must be the user.
    """
    known = os.path.join(environment.get("HOME", "/nonexistent"), ".ssh", "known_hosts")
    options = ["BatchMode=yes", "PermitLocalCommand=no", "ClearAllForwardings=yes"]
    if " " not in known and '"' not in known and "'" not in known:
        options.append(f"UserKnownHostsFile={known}")
    if agent is not None:
        options.append("IdentityFile=none")
    if agent == "":
        options.append("IdentityAgent=none")
    return " ".join(["ssh", "-F", "/dev/null", *(f"-o {option}" for option in options)])


def _execute(
    command: list[str],
    folder: str,
    environment: Mapping[str, str],
    watch: Callable[[bytes], object] | None,
) -> tuple[bytes, bytes, int]:
    """(output, the end of what it complains of, exit status) of a program that ends with us.

    `watch` is told what it says on standard error.
    """
    out_fd, out = process.pipe()
    err_fd, err = process.pipe()

    def body(_: process.Send) -> None:
        from signal import Handlers, signal

        signal(_SIGPIPE, Handlers.SIG_DFL)
        os.umask(0o022)
        os.chdir(folder)
        for fd, number in ((os.open("/dev/null", os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(fd, number)
        os.execve(command[0], command, dict(environment))

    try:
        child = process.fork(body, command[0])
    finally:
        os.close(out)
        os.close(err)
    kept = {out_fd: b"", err_fd: b""}
    try:
        _listen(kept, {out_fd: _MOST, err_fd: _END}, child.kill, watch)
        return kept[out_fd], kept[err_fd], child.wait()
    finally:
        child.kill()
        os.close(out_fd)
        os.close(err_fd)


def _listen(
    kept: dict[int, bytes],
    limits: dict[int, int],
    stop: Callable[[], None],
    watch: Callable[[bytes], object] | None,
) -> None:
    """Read all descriptors of `kept` to their end; of each no more than its limit is kept."""
    output = min(kept)
    listener = poll()
    for fd in kept:
        listener.register(fd, POLLIN | POLLHUP)
    waiting = len(kept)
    while waiting:
        for fd, _ in listener.poll():
            chunk = os.read(fd, 1 << 16)
            kept[fd] = (kept[fd] + chunk)[-limits[fd] :]
            if watch and fd != output:
                watch(chunk)
            if not chunk:
                listener.unregister(fd)
                waiting -= 1
            elif fd == output and len(kept[fd]) == limits[fd]:
                stop()
                raise RootlessError("the server's list of refs does not end")


def _last(complaint: bytes) -> str:
    """What of git's complaints says most, safe to print."""
    text = complaint.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    said = (fatal or lines or [""])[0 if fatal else -1]
    return "".join(char if char.isprintable() else "?" for char in said[:300])


def _unreachable(source: GitSource, error: RootlessError) -> RootlessError:
    said = error.message
    hint = "check the URL, and that the repository may be read without a password"
    if "Host key verification failed" in said or "Could not read from remote" in said:
        hint = (
            "an ssh key must be in an agent (ssh-add), which ADD asks with --ssh default, and the "
            "host be known: ssh-keyscan HOST >> ~/.ssh/known_hosts"
        )
    return RootlessError(f"{source.shown} cannot be fetched: {said}", hint=hint)


def _forget(folder: str, names: tuple[str, ...]) -> None:
    """Remove what only says when something happened here."""
    from shutil import rmtree

    for name in names:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def _settle(tree: str, seconds: int, *, keeps: bool) -> None:
    """Give all files one time; without `keeps`, take away what led to repositories of ours."""
    for folder, folders, files, fd in os.fwalk(tree, topdown=False, follow_symlinks=False):
        inside = folder != tree
        for name in files:
            if name == ".git" and inside and not keeps:
                os.unlink(name, dir_fd=fd)
                continue
            os.utime(name, (seconds, seconds), dir_fd=fd, follow_symlinks=False)
        for name in folders:
            os.utime(name, (seconds, seconds), dir_fd=fd, follow_symlinks=False)
    os.utime(tree, (seconds, seconds))


def _clean(subdir: str) -> str:
    """Relative to the repository, whatever it climbs."""
    return os.path.normpath("/" + subdir).strip("/")


def inside(tree: str, source: GitSource) -> str:
    """The path of the wanted folder; its name may not lead out, nor through a link that does."""
    subdir = _clean(source.subdir)
    if not subdir:
        return tree
    tree_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = inroot.open_path(tree_fd, subdir, os.O_PATH | os.O_DIRECTORY)
    except SyscallError:
        raise NotFoundError(f"{source.shown} has no folder {subdir!r}") from None
    finally:
        os.close(tree_fd)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
