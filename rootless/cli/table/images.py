"""Verbs about images, declared."""

from __future__ import annotations

from rootless.cli.table import (
    AUTHFILE,
    CERT_DIR,
    CONTENT_TRUST,
    EVERY_IMAGE,
    NO_HEADING,
    PLATFORM,
    PRUNE_FILTER,
    TLS_VERIFY,
    Argument,
    Verb,
    flag,
    many,
    text,
)

_FORMAT = text("-f", "--format", metavar="TEMPLATE", help="'json' or a Go template")
_NO_TRUNC = flag("--no-trunc", help="do not shorten the output")
_DRY_RUN = flag("--dry-run", help="say what would be transferred; change nothing")
_EXPLAIN = flag("--explain", help="print every request, why, and the curl line that does the same")
_FORCE = flag("-f", "--force", help="do not ask")

PUSH_OPTIONS = (
    text(
        "--compression",
        metavar="KIND[:LEVEL]",
        help="gzip or zstd, for layers that nobody has compressed yet [default: gzip]",
    ),
    text(
        "--format",
        metavar="FORMAT",
        choices=("oci", "docker", "v2s2"),
        help="oci, or docker for registries that are older [default: as it is]",
    ),
    text("--digestfile", metavar="FILE", help="write the digest of what was pushed to FILE"),
    CONTENT_TRUST,
    _DRY_RUN,
    _EXPLAIN,
    text("--platform", metavar="OS/ARCH", help="push only this one of several platforms"),
    flag("-q", "--quiet", help="print only the name"),
    AUTHFILE,
    CERT_DIR,
    TLS_VERIFY,
)

VERBS = (
    Verb(
        "images",
        "List images",
        "rootless.cli.images:images",
        options=(
            flag("-a", "--all", help="does nothing: every image is always shown"),
            flag("--digests", help="show digests"),
            many(
                "-f",
                "--filter",
                metavar="KEY=VALUE",
                help="dangling, label, label!, reference, before, since or until",
            ),
            text("--format", metavar="TEMPLATE", help="'table', 'json' or a Go template"),
            _NO_TRUNC,
            NO_HEADING,
            flag("-q", "--quiet", help="show only ids"),
            flag("--tree", help="show platforms, and what each image takes of the disk"),
        ),
        arguments=(Argument("name", "REPOSITORY[:TAG]", "optional"),),
        examples=("rootless images -q busybox", "rootless images --filter dangling=true"),
    ),
    Verb(
        "inspect",
        "Show what containers and images are, as JSON",
        "rootless.cli.inspect:inspect",
        options=(
            _FORMAT,
            flag("-s", "--size", help="show how large a container's files are"),
            text(
                "--type", metavar="TYPE", help="look only for a container, image, network or volume"
            ),
        ),
        arguments=(Argument("names", "NAME|ID", "some"),),
        examples=(
            "rootless inspect -f '{{json .Config.Env}}' busybox",
            "rootless inspect -f '{{.State.ExitCode}}' web",
        ),
    ),
    Verb(
        "image inspect",
        "Show what an image is, as JSON",
        "rootless.cli.inspect:inspect_images",
        options=(_FORMAT, PLATFORM),
        arguments=(Argument("names", "IMAGE", "some"),),
        examples=("rootless image inspect -f '{{.Id}}' busybox",),
    ),
    Verb(
        "container inspect",
        "Show what a container is, as JSON",
        "rootless.cli.inspect:inspect_containers",
        options=(_FORMAT, flag("-s", "--size", help="show how large its files are")),
        arguments=(Argument("names", "CONTAINER", "some"),),
        examples=("rootless container inspect -f '{{.State.Status}}' web",),
    ),
    Verb(
        "history",
        "Show the instructions and layers that made an image",
        "rootless.cli.inspect:history",
        options=(
            text("--format", metavar="TEMPLATE", help="'table', 'json' or a Go template"),
            flag("-H", "--human", default=True, help="sizes and dates in words [default: true]"),
            PLATFORM,
            _NO_TRUNC,
            flag("-q", "--quiet", help="show only ids"),
        ),
        arguments=(Argument("image", "IMAGE"),),
        examples=("rootless history --no-trunc busybox",),
    ),
    Verb(
        "tag",
        "Give an image more names",
        "rootless.cli.images:tag",
        arguments=(
            Argument("source", "SOURCE_IMAGE[:TAG]"),
            Argument("targets", "TARGET_IMAGE[:TAG]", "some"),
        ),
        examples=("rootless tag busybox localhost:5000/busybox:1",),
    ),
    Verb(
        "image tree",
        "Show an image's layers, and the images that they make",
        "rootless.cli.tree:tree",
        options=(flag("--whatrequires", help="also the layers that other images put on top"),),
        arguments=(Argument("image", "IMAGE"),),
        examples=("rootless image tree busybox",),
    ),
    Verb(
        "image compare",
        "Show what differs in two images: config, layers and files; exit code 1 if anything does",
        "rootless.cli.compare:compare",
        options=(text("-f", "--format", metavar="TEMPLATE", help="'json' or a Go template"),),
        arguments=(Argument("first", "IMAGE"), Argument("second", "IMAGE")),
        examples=("rootless image compare app:1 app:2",),
        failure=2,
    ),
    Verb(
        "image exists",
        "Tell by the exit code whether an image is here",
        "rootless.cli.images:exists",
        arguments=(Argument("image", "IMAGE"),),
        examples=("rootless image exists busybox",),
    ),
    Verb(
        "untag",
        "Take names from an image, and keep it",
        "rootless.cli.rmi:untag",
        arguments=(Argument("image", "IMAGE"), Argument("names", "NAME[:TAG]", "any")),
        examples=("rootless untag busybox", "rootless untag busybox localhost:5000/busybox:1"),
    ),
    Verb(
        "rmi",
        "Remove images",
        "rootless.cli.rmi:rmi",
        options=(
            flag("-a", "--all", help="remove every image that no container uses"),
            flag(
                "-f",
                "--force",
                help="remove an id with all its names, and what a stopped container uses; "
                "ignore unknown",
            ),
            text(
                "--platform",
                metavar="OS/ARCH",
                help="of what stands for several platforms, only the image for this one",
            ),
            flag("--no-prune", help="does nothing: no image here has untagged parents"),
        ),
        arguments=(Argument("names", "IMAGE", "any"),),
        examples=("rootless rmi hello", "rootless rmi -f 18efc4d567ae", "rootless rmi --all"),
    ),
    Verb(
        "image prune",
        "Remove images without a name",
        "rootless.cli.prune:images",
        options=(flag("-a", "--all", help=EVERY_IMAGE), PRUNE_FILTER, _FORCE),
        examples=("rootless image prune", "rootless image prune -af --filter until=24h"),
    ),
    Verb(
        "pull",
        "Download an image from a registry",
        "rootless.cli.pull:pull",
        options=(
            flag("-a", "--all-tags", help="download every tag of the repository"),
            CONTENT_TRUST,
            PLATFORM,
            _DRY_RUN,
            _EXPLAIN,
            flag("-q", "--quiet", help="print only the name"),
            AUTHFILE,
            CERT_DIR,
            TLS_VERIFY,
        ),
        arguments=(Argument("name", "NAME[:TAG|@DIGEST]"),),
        examples=(
            "rootless pull debian:bookworm",
            "rootless pull --platform arm64 busybox",
            "rootless pull --explain --dry-run busybox",
        ),
    ),
    Verb(
        "push",
        "Upload an image to a registry",
        "rootless.cli.push:push",
        options=(
            flag("-a", "--all-tags", help="push every tag of the repository"),
            *PUSH_OPTIONS,
        ),
        arguments=(
            Argument("name", "NAME[:TAG]"),
            Argument("destination", "DESTINATION", "optional"),
        ),
        examples=(
            "rootless push localhost:5000/app:1",
            "rootless push app localhost:5000/app:1",
        ),
    ),
    Verb(
        "save",
        "Write images to a tar archive",
        "rootless.cli.archives:save",
        options=(
            PLATFORM,
            text("-o", "--output", metavar="FILE", help="write to FILE, not standard output"),
            text(
                "--format",
                metavar="FORMAT",
                choices=("docker-archive", "oci-archive"),
                default="docker-archive",
                help="docker-archive or oci-archive [default: docker-archive]",
            ),
        ),
        arguments=(Argument("names", "IMAGE", "some"),),
        examples=("rootless save -o app.tar app", "rootless save busybox | ssh host docker load"),
    ),
    Verb(
        "load",
        "Read images from a tar archive",
        "rootless.cli.archives:load",
        options=(
            PLATFORM,
            text("-i", "--input", metavar="FILE", help="read from FILE, not standard input"),
            flag("-q", "--quiet", help="do not show progress"),
        ),
        examples=("rootless load -i app.tar", "ssh host docker save app | rootless load"),
    ),
    Verb(
        "copy",
        "Copy an image from any place to any other, without unpacking it",
        "rootless.cli.copy:copy",
        options=(
            flag("-a", "--all", help="every image that an index lists, and the index"),
            PLATFORM,
            flag("-q", "--quiet", help="show only the digest"),
            text("--digestfile", metavar="FILE", help="write the digest to FILE"),
            flag("--src-tls-verify", default=True, help="check the source's certificate [default]"),
            flag("--dest-tls-verify", default=True, help="check the other's certificate [default]"),
        ),
        arguments=(
            Argument("source", "SOURCE"),
            Argument("destination", "DESTINATION"),
        ),
        examples=(
            "rootless copy docker://busybox oci:layout:busybox",
            "rootless copy --all docker://debian docker://localhost:5000/debian",
            "rootless copy app oci-archive:app.tar",
        ),
    ),
    Verb(
        "sync",
        "Copy all tags of a repository, or a list of images, to a registry or a folder",
        "rootless.cli.sync:sync",
        options=(
            flag("-a", "--all", help="every image that an index lists, and the index"),
            flag("--keep-going", help="go on after a failure, which is told at the end"),
            flag("--scoped", help="keep the registry's name and the path in the new names"),
            flag("-q", "--quiet", help="show only names"),
            flag("--src-tls-verify", default=True, help="check the source's certificate [default]"),
            flag("--dest-tls-verify", default=True, help="check the other's certificate [default]"),
        ),
        arguments=(
            Argument("source", "docker://REPOSITORY|FILE"),
            Argument("destination", "docker://REGISTRY[/PATH]|dir:DIR|oci:DIR"),
        ),
        examples=(
            "rootless sync docker://alpine dir:/media/usb",
            "rootless sync --scoped images.txt docker://localhost:5000",
        ),
    ),
    Verb(
        "import",
        "Make an image of a tarball of files",
        "rootless.cli.archives:import_",
        options=(
            many("-c", "--change", metavar="INSTRUCTION", help="apply a Dockerfile instruction"),
            text("-m", "--message", metavar="TEXT", help="comment in the image's history"),
            text("--platform", metavar="OS/ARCH", help="what the files are for [this machine]"),
        ),
        arguments=(
            Argument("file", "FILE|URL|-"),
            Argument("name", "REPOSITORY[:TAG]", "optional"),
        ),
        examples=(
            "tar -C rootfs -c . | rootless import -c 'CMD [\"sh\"]' - base",
            "rootless import https://example.org/rootfs.tar.xz base:1",
        ),
    ),
)
