from __future__ import annotations

import pytest

from rootless import doctor, programs
from rootless.network import choice


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pasta").write_text("#!/bin/sh\n")
    (tmp_path / "pasta").chmod(0o755)
    (tmp_path / "text").write_text("not a program\n")
    (tmp_path / "folder").mkdir()
    return str(tmp_path)


def test_the_first_folder_that_has_it_wins(folder):
    assert programs.find("pasta", f"/nonexistent:{folder}") == f"{folder}/pasta"
    assert programs.find("past", folder) == ""


def test_only_files_that_can_be_executed_are_programs(folder):
    assert programs.find("text", folder) == ""
    assert programs.find("folder", folder) == ""


def test_relative_folders_do_not_count(folder, monkeypatch):
    """A checkout with a `pasta` in it, and a PATH with an empty or a relative entry."""
    monkeypatch.chdir(folder)
    for search_path in (":/nonexistent", ".", "/nonexistent:"):
        assert programs.find("pasta", search_path) == ""


def test_without_a_search_path_the_folders_of_the_system_are_looked_at(folder, monkeypatch):
    monkeypatch.setattr(programs, "SYSTEM_PATH", folder)
    assert programs.find("pasta") == f"{folder}/pasta"


def test_doctor_finds_what_run_finds(folder):
    """A network program where only the user's PATH leads, as one built by hand."""
    for path in (folder, "/nonexistent"):
        [check] = [check for check in doctor.checks(path) if check.name == "network"]
        chosen = choice.choose("", path, tun=choice.has_tun())
        assert check.ok == bool(chosen.program), check
