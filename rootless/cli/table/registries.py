"""Verbs about registries, declared."""

from __future__ import annotations

from rootless.cli.table import AUTHFILE, CERT_DIR, TLS_VERIFY, Argument, Verb, flag, many, text

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
)
