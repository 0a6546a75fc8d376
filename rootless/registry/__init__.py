"""Talking to registries: OCI distribution-spec v1.1 over HTTP, and the logins it needs.

client      manifests and blobs of one registry, retried, resumed and checked
push        the other way: what it lacks, mounted, uploaded, resumed
tags        all tags of a repository
search      images by a word, where a registry offers that
session     one registry: its scheme, and requests authorized as it asks for
sources     where images come from: registries.conf, mirrors, other places
certificates those for single registries
http        one exchange: pools, proxies, redirects; exceptions become sentences
trust       which host may send us where, and who may see a password
wire, tls   HTTP/1.1 over one connection: to the address that was looked at, at a bounded cost
url         http and https URLs (pure)
tokens      Bearer and Basic authorization (distribution's token specification)
challenge   WWW-Authenticate, RFC 9110 §11.6.1 (pure)
auth        the logins that docker, podman and we keep: found, kept, forgotten
authfile    their files, read and changed whole
credentials a login, and the helpers that keep some
turns       at changing what other processes may change, too
limits      how often a registry lets us pull (pure)
errors      RegistryError

Knows nothing of the store: bytes and descriptors only. Reads no environment: the caller passes
proxies and the paths of login files. Code here runs in the calling process, before or after it
entered its namespaces, and `Client` may be used by several threads.
"""
