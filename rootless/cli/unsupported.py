"""What docker has and this program does not yet: named, so that nobody has to guess."""

from __future__ import annotations

from rootless import nearest
from rootless.cli import table
from rootless.cli.parser import CommandLineError
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.table import Verb

_SEE = "'rootless --help' lists the commands"
_VERBS = """checkpoint compose config context imagetools ls node
    plugin prune secret service stack swarm trust use"""

_INSTEAD = {
    "prune": "rootless system prune removes what nothing needs",
}
"""What to do meanwhile, for those that people type most."""

FLAGS = {
    "run": """--blkio-weight-device --cpu-count --cpu-percent
        --cpu-rt-period --cpu-rt-runtime --device-read-bps
        --device-read-iops --device-write-bps --device-write-iops --io-maxbandwidth --io-maxiops
        --isolation --kernel-memory --link-local-ip --runtime --storage-opt --use-api-socket
       """,
    "build": """--all-platforms --cgroupns
        --cpp-flag --creds --cw --decryption-key --from --group-add --hooks-dir --http-proxy
        --inherit-annotations --inherit-labels --ipc --layer-label --logfile --logsplit --manifest
        --omit-history --os-feature --os-version --pid --runtime-flag
        --sbom-image-output --sbom-image-purl-output --sbom-merge-strategy --sbom-output
        --sbom-purl-output --sbom-scanner-command --sbom-scanner-image --sign-by --stdin
        --unsetannotation --userns --userns-gid-map --userns-gid-map-group --userns-uid-map
        --userns-uid-map-user --uts""",
    "rm": "--link",
}


def flag(verb: Verb, name: str) -> UsageError | None:
    """The error for a flag that only docker or podman has; None where they have none either."""
    if name not in FLAGS.get(verb.name, "").split():
        return None
    return UsageError(
        f"'rootless {verb.name}' does not support {name} yet",
        hint=f"'rootless {verb.name} --help' lists what it does support",
    )


def verb(words: Sequence[str]) -> UsageError:
    """The error for words that begin with no verb of ours."""
    ours = [*table.MODULES, *table.ALIASES]
    typed = words[:2] if words[0] in table.GROUPS else words[:1]
    name = " ".join(typed)
    if typed[-1] in _VERBS.split():
        hint = _INSTEAD.get(typed[-1], _SEE)
        return CommandLineError(f"'rootless {name}' is not implemented yet", hint=hint)
    near = nearest.names(name, ours if len(typed) > 1 else [*ours, *table.GROUPS], count=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else _SEE
    return CommandLineError(f"unknown command: rootless {name}", hint=hint)
