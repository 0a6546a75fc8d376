"""The JSON schemas of the OCI image specification, to hold against them what we write."""

from __future__ import annotations

import json

import pytest

from tests.support import machine

jsonschema = pytest.importorskip("jsonschema")
referencing = pytest.importorskip("referencing")
draft4 = pytest.importorskip("referencing.jsonschema").DRAFT4


def validator(name: str):
    """The schema called `name`; the schemas refer to each other by relative file names."""
    folder = machine.SHARED / "image-spec" / "schema"

    def retrieve(address: str):
        schema = json.loads((folder / address.rpartition("/")[2]).read_bytes())
        return referencing.Resource(schema, draft4)

    registry = referencing.Registry(retrieve=retrieve)
    return jsonschema.Draft4Validator(retrieve(f"{name}-schema.json").contents, registry=registry)
