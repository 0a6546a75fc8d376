"""What the builds of a bake say is passed on, in whatever order their pipes come to an end."""

from __future__ import annotations

import os

from rootless import process
from rootless.cli import bake_run
from rootless.cli.bake_lines import Speaker
from rootless.cli.settings import Settings


def test_a_build_of_which_one_stream_has_ended_is_listened_to_again(capsys, monkeypatch):
    kitchen = object.__new__(bake_run._Kitchen)
    names = ["one", "two"]
    kitchen._speaker = Speaker(names, "plain", Settings("", "", {"NO_COLOR": "1"}))
    kitchen._done, kitchen.made, kitchen.building = set(), {}, {}
    kitchen._folder = "/nonexistent"
    ends = {}
    for name in names:
        (out, to_out), (err, to_err) = process.pipe(), process.pipe()
        child = process.fork(lambda _: 0, name)
        kitchen.building[name] = bake_run._Oven(name, child, out, err)
        os.close(to_out)
        ends[name] = to_err
    os.close(ends["two"])
    monkeypatch.setattr(bake_run, "is_name", lambda _: False)  # no metadata is read
    kitchen.listen()
    assert list(kitchen.building) == ["one"]
    os.write(ends["one"], b"the last word\n")
    os.close(ends["one"])
    kitchen.listen()
    assert kitchen.building == {}
    assert kitchen._done == {"one", "two"}
    assert "one | the last word" in capsys.readouterr().err
