"""Kubernetes: a target is a Job of one pod, which runs an image that has rootless in it.

A pod sees no file of this machine: what the target is made from comes to it as an image, through
the registry that all share (`Job.context`). Spoken through the official client, which is imported
where it is needed: it takes a second. A command that is killed leaves its Jobs; Kubernetes removes
them an hour after they have ended.
"""

from __future__ import annotations

import time

from rootless import leanjson
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.fleet import Job

OPTIONS = ("image", "namespace", "context", "secret", "cpu", "memory")
_LABEL = "rootless.bake"
_KEPT = 3600  # seconds that an ended Job stays
_LOOK = 1.0  # seconds between questions about a pod that does not run yet
_SILENCE = 120.0  # how many the API may be away
_STUCK = {
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
}
"""What a container waits for that does not come by itself."""

# $CONTEXT is unpacked, then built from; `set -e` so that the first that fails is the pod's end.
_SCRIPT = """set -e
if [ -n "$CONTEXT" ]; then
    cd "$(mktemp -d)"
    mkdir none
    echo "FROM $CONTEXT" |
        rootless build --progress=quiet --file=- --output=type=local,dest=files none
    cd files/context
fi
exec rootless build "$@" </dev/null
"""


class Kubernetes:
    """The cluster that a kubeconfig file names, or the one that this pod is part of."""

    title = "Kubernetes"
    shares_files = False

    def __init__(self, run: str, options: Mapping[str, str]) -> None:
        """`run` is a word for this bake."""
        if not options.get("image"):
            raise UsageError(
                "--on kubernetes needs the image that its pods run",
                hint="name one that has rootless: --on kubernetes,image=REGISTRY/rootless,…",
            )
        self._run = run
        self._options = options
        self._batch: Any = None
        self._core: Any = None
        self._namespace = options.get("namespace", "")

    def describe(self, job: Job) -> str:
        """See Scheduler: the Job as JSON, as `kubectl create -f -` takes it."""
        return leanjson.dumps(manifest(job, self._run, self._options)).decode()

    def check(self) -> None:
        """See Scheduler. NotFoundError without the client, too."""
        self._batch, self._core, namespace = _clients(self._options.get("context"))
        self._namespace = self._namespace or namespace

    def submit(self, job: Job) -> str:
        """See Scheduler."""
        body = manifest(job, self._run, self._options)
        made = _ask(self._batch.create_namespaced_job, self._namespace, body)
        return str(made.metadata.name)

    def follow(self, identity: str, say: Callable[[bytes], object]) -> str:
        """See Scheduler. Says, too, what a pod waits for."""
        watched = _Pod(self, identity, say)
        while watched.why is None:
            watched.look()
        return watched.why

    def cancel(self) -> None:
        """See Scheduler: Kubernetes ends the pods of a Job that is deleted."""
        _ask(
            self._batch.delete_collection_namespaced_job,
            self._namespace,
            label_selector=f"{_LABEL}={self._run}",
            propagation_policy="Background",
        )

    def close(self) -> None:
        """Delete what has ended well or not: its log was shown."""
        self.cancel()

    def job(self, name: str) -> Any:
        """The Job, or None when it is gone."""
        try:
            return self._batch.read_namespaced_job(name, self._namespace)
        except _not_there():
            return None

    def pods(self, name: str) -> list[Any]:
        """Those of a Job."""
        label = f"job-name={name}"
        return list(self._core.list_namespaced_pod(self._namespace, label_selector=label).items)

    def refusals(self, name: str) -> list[str]:
        """What the cluster says where it does not let a Job have a pod."""
        chosen = f"involvedObject.name={name},reason=FailedCreate"
        found = self._core.list_namespaced_event(self._namespace, field_selector=chosen)
        return [one.message for one in found.items]

    def log(self, pod: str, say: Callable[[bytes], object], seconds: int | None) -> None:
        """Pass on what its container writes, until that ends."""
        more = {} if seconds is None else {"since_seconds": seconds}
        answer = self._core.read_namespaced_pod_log(
            pod, self._namespace, follow=True, _preload_content=False, **more
        )
        try:
            for piece in answer.stream(1 << 16):
                say(piece)
        finally:
            answer.release_conn()


class _Pod:
    """A job that is followed; `why` is how it ended, None while it has not."""

    def __init__(self, cluster: Kubernetes, name: str, say: Callable[[bytes], object]) -> None:
        self._cluster = cluster
        self._name = name
        self._say = say
        self._told = ""
        self._heard: float | None = None  # when something of its log was
        self._answered = time.monotonic()
        self.why: str | None = None

    def look(self) -> None:
        """Ask once; where the pod runs, listen until it does not."""
        try:
            job = self._cluster.job(self._name)
            pods = self._cluster.pods(self._name) if job else []
            if job is None:
                self.why = f"job {self._name} was lost: it was deleted"
            elif pods:
                self._see(pods[-1])
            else:
                self._see_none(job)
            self._answered = time.monotonic()
        except _troubles() as error:
            if time.monotonic() - self._answered > _SILENCE:
                raise _refused(error) from None
        if self.why is None:
            time.sleep(_LOOK)

    def _see_none(self, job: Any) -> None:
        conditions = (job.status and job.status.conditions) or ()
        if any(one.type == "Failed" for one in conditions):
            self.why = f"job {self._name} was lost: its pod is gone"
        elif refused := self._cluster.refusals(self._name):
            self.why = f"job {self._name} gets no pod: {refused[-1]}"

    def _see(self, pod: Any) -> None:
        containers = pod.status.container_statuses or ()
        state = containers[0].state if containers else None
        if state and (state.running or state.terminated) and self._is_news(state):
            seconds = None if self._heard is None else int(time.monotonic() - self._heard) + 1
            self._cluster.log(pod.metadata.name, self._hear, seconds)
            self._heard = self._heard or time.monotonic()
        elif state and state.terminated:
            self.why = self._ended(pod, state.terminated)
        elif pod.status.phase == "Failed":  # evicted, or its node was lost
            reason = pod.status.message or pod.status.reason or "nobody says why"
            self.why = f"job {self._name} was lost: {reason}"
        else:
            self._see_waiting(pod, state)

    def _is_news(self, state: Any) -> bool:
        """Whether there may be something to hear: it runs, or has ended and was never heard."""
        return bool(state.running) or self._heard is None

    def _see_waiting(self, pod: Any, state: Any) -> None:
        waits = state.waiting if state else None
        if waits and waits.reason in _STUCK:
            self.why = f"job {self._name} cannot start: {waits.message or waits.reason}"
            return
        found = [one for one in pod.status.conditions or () if one.status == "False"]
        told = next((one.message for one in found if one.message), "")
        if told and told != self._told:
            self._say(f"job {self._name} waits: {told}\n".encode())
            self._told = told

    def _hear(self, piece: bytes) -> None:
        self._heard = time.monotonic()
        self._say(piece)

    def _ended(self, pod: Any, ended: Any) -> str:
        if ended.exit_code == 0:
            return ""
        where = f"job {self._name} on {pod.spec.node_name}"
        if ended.reason == "OOMKilled":
            return f"{where} had too little memory: give it more with --on kubernetes,memory=…"
        return f"{where} failed"


def manifest(job: Job, run: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The Job as Kubernetes takes it."""
    container: dict[str, Any] = {
        "name": "build",
        "image": options["image"],
        "command": ["sh", "-c", _SCRIPT, "sh", *job.words],
        "env": [{"name": "CONTEXT", "value": job.context}],
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    wanted = {key: options[key] for key in ("cpu", "memory") if key in options}
    if wanted:
        container["resources"] = {"requests": wanted, "limits": wanted}
    pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [container]}
    if secret := options.get("secret"):
        keys = [{"key": ".dockerconfigjson", "path": "config.json"}]
        pod["volumes"] = [{"name": "logins", "secret": {"secretName": secret, "items": keys}}]
        container["volumeMounts"] = [{"name": "logins", "mountPath": "/logins", "readOnly": True}]
        container["env"].append({"name": "DOCKER_CONFIG", "value": "/logins"})
    labels = {"app.kubernetes.io/managed-by": "rootless", _LABEL: run}
    name = "".join(char if char.isalnum() else "-" for char in job.name.lower())[:40]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name.strip('-') or 'target'}-{run}", "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _clients(context: str | None) -> tuple[Any, Any, str]:
    """What speaks to batch/v1 and v1, and the namespace that is meant."""
    try:
        from kubernetes import client, config
    except ImportError:
        raise NotFoundError(
            "--on kubernetes needs the Python package kubernetes, which is not installed",
            hint="pip install 'rootless[kubernetes]'",
        ) from None
    try:
        config.load_kube_config(context=context)
        listed, active = config.list_kube_config_contexts()
        chosen = next((one for one in listed if one["name"] == context), active)
        namespace = str(chosen["context"].get("namespace", "default"))
    except config.ConfigException as error:
        namespace = _of_this_pod(config, context, error)
    configuration = client.Configuration.get_default_copy()
    configuration.retries = 1
    api = client.ApiClient(configuration)
    return client.BatchV1Api(api), client.CoreV1Api(api), namespace


def _of_this_pod(config: Any, context: str | None, error: Exception) -> str:
    """Use what a pod of the cluster is given; its namespace."""
    try:
        if context:
            raise config.ConfigException
        config.load_incluster_config()
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as file:
            return file.read().strip()
    except (config.ConfigException, OSError):
        raise NotFoundError(
            f"no cluster is known here: {error}",
            hint="name its kubeconfig file: KUBECONFIG=FILE rootless bake …",
        ) from None


def _ask(method: Any, *values: Any, **named: Any) -> Any:
    try:
        return method(*values, **named)
    except _troubles() as error:
        raise _refused(error) from None


def _troubles() -> tuple[type[Exception], ...]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    return (ApiException, HTTPError)


def _not_there() -> Any:
    from kubernetes.client.exceptions import NotFoundException

    return NotFoundException


def _refused(error: Any) -> RootlessError:
    status = getattr(error, "status", None)
    if status is None:
        return RootlessError(
            f"the cluster does not answer: {error}",
            hint="kubectl cluster-info shows whether it is there",
        )
    try:
        told = leanjson.loads(error.body, "the cluster's answer")["message"]
    except (RootlessError, KeyError, TypeError):
        told = error.reason
    return RootlessError(f"the cluster refuses (HTTP {status}): {told}")
