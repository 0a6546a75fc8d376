"""Verbs about registries, declared."""

from __future__ import annotations

from rootless.cli.table import (
    AUTHFILE,
    CERT_DIR,
    NOTHING,
    TLS_VERIFY,
    Argument,
    Verb,
    flag,
    many,
    text,
)
from rootless.cli.table.images import PUSH_OPTIONS

_INSECURE = flag("--insecure", help="the same as --tls-verify=false")
_LIST = Argument("name", "LIST")
_EVERY = flag("-a", "--all", help="of an index all platforms, not only this machine's")
_OF_PLATFORM = (
    text("--arch", metavar="ARCH", help="the architecture, as amd64"),
    text("--os", metavar="OS", help="the operating system"),
    text("--variant", metavar="VARIANT", help="the variant of the architecture, as v7"),
    text("--os-version", metavar="VERSION", help="the version of the operating system"),
    many("--os-features", metavar="FEATURE", help="what the operating system has to have"),
)
_SERVER = Argument("server", "SERVER", "optional")

VERBS = (
    Verb(
        "search",
        "Search the Docker Hub for images",
        "rootless.cli.search:search",
        options=(
            many("-f", "--filter", metavar="KEY=VALUE", help="is-official=true|false, or stars=N"),
            text("--format", metavar="TEMPLATE", help="'table', 'json' or a Go template"),
            text("--limit", metavar="N", default="25", help="at most N results [default: 25]"),
            flag("--no-trunc", help="do not shorten the output"),
            CERT_DIR,
            TLS_VERIFY,
        ),
        arguments=(Argument("term", "[REGISTRY/]TERM"),),
        examples=("rootless search python", "rootless search --filter is-official=true python"),
    ),
    Verb(
        "login",
        "Log in to a registry, the Docker Hub if none is named",
        "rootless.cli.registries:login",
        options=(
            text("-u", "--username", metavar="NAME", help="user name"),
            text("-p", "--password", metavar="PASSWORD", help="password or access token"),
            flag("--password-stdin", help="read the password from standard input"),
            flag("--get-login", help="print the user who is logged in, and do nothing else"),
            AUTHFILE,
            CERT_DIR,
            TLS_VERIFY,
        ),
        arguments=(_SERVER,),
        examples=(
            "rootless login",
            "rootless login -u ada --password-stdin registry.example.org < token",
        ),
    ),
    Verb(
        "logout",
        "Log out from a registry, the Docker Hub if none is named",
        "rootless.cli.registries:logout",
        options=(AUTHFILE,),
        arguments=(_SERVER,),
        examples=("rootless logout registry.example.org",),
    ),
    Verb(
        "registry serve",
        "Let other tools and machines pull the images that are here",
        "rootless.cli.serve:serve",
        options=(
            text(
                "--listen",
                metavar="HOST:PORT",
                default="127.0.0.1:5000",
                help="where to listen [default: 127.0.0.1:5000]",
            ),
            flag("--writable", help="let them push, too"),
            flag("-q", "--quiet", help="do not show the requests"),
        ),
        examples=("rootless registry serve", "rootless registry serve --listen 127.0.0.1:0 -q"),
    ),
    Verb(
        "manifest create",
        "Make a list of images for several platforms",
        "rootless.cli.manifests:create",
        options=(
            _EVERY,
            flag("--amend", help="add to a list that is there"),
            _INSECURE,
            TLS_VERIFY,
        ),
        arguments=(_LIST, Argument("images", "IMAGE", "any")),
        examples=("rootless manifest create app:1 app:amd64 app:arm64",),
    ),
    Verb(
        "manifest add",
        "Add images to a list",
        "rootless.cli.manifests:add",
        options=(_EVERY, *_OF_PLATFORM, _INSECURE, TLS_VERIFY),
        arguments=(_LIST, Argument("images", "IMAGE", "some")),
        examples=("rootless manifest add app:1 app:riscv64",),
    ),
    Verb(
        "manifest annotate",
        "Say what platform an image of a list is for",
        "rootless.cli.manifests:annotate",
        options=(*_OF_PLATFORM, _INSECURE, TLS_VERIFY),
        arguments=(_LIST, Argument("image", "IMAGE|DIGEST")),
        examples=("rootless manifest annotate --arch arm --variant v7 app:1 app:arm",),
    ),
    Verb(
        "manifest remove",
        "Take an image out of a list",
        "rootless.cli.manifests:remove_entry",
        options=(_INSECURE, TLS_VERIFY),
        arguments=(_LIST, Argument("image", "IMAGE|DIGEST")),
        examples=("rootless manifest remove app:1 app:arm",),
    ),
    Verb(
        "manifest inspect",
        "Show a list, or what a registry has under a name",
        "rootless.cli.manifests:inspect",
        options=(
            flag("-v", "--verbose", help="each image, with its name, platform and own manifest"),
            _INSECURE,
            TLS_VERIFY,
        ),
        arguments=(Argument("name", "NAME"),),
        examples=("rootless manifest inspect debian",),
    ),
    Verb(
        "manifest rm",
        "Remove lists",
        "rootless.cli.manifests:rm",
        arguments=(Argument("names", "LIST", "some"),),
        examples=("rootless manifest rm app:1",),
    ),
    Verb(
        "manifest push",
        "Push a list with all its images",
        "rootless.cli.manifests:push",
        options=(
            flag("-p", "--purge", help="remove the list here when it is pushed"),
            flag("--all", help=NOTHING),
            _INSECURE,
            *PUSH_OPTIONS,
        ),
        arguments=(_LIST, Argument("destination", "DESTINATION", "optional")),
        examples=("rootless manifest push --purge app:1 localhost:5000/app:1",),
    ),
)
