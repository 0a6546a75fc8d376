"""The OCI specifications' vocabulary as values: parsed once at the border, true ever after.

Pure: no files, no sockets, no environment. Everything here may be imported by every other room,
and by a program that starts in ten milliseconds, so nothing here imports `re`, `json`, `typing`
or `dataclasses`.
"""
