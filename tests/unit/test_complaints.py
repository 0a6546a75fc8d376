"""What a user is told to do: commands that may be typed as they stand."""

from __future__ import annotations

from rootless import complaints, subids


def test_a_range_that_nobody_else_has(tmp_path, monkeypatch):
    """The one every first user has would let two users own the same files."""
    uids, gids = tmp_path / "subuid", tmp_path / "subgid"
    users = tmp_path / "passwd"
    users.write_text("root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n")
    monkeypatch.setattr(subids, "USERS", str(uids))
    monkeypatch.setattr(subids, "GROUPS", str(gids))
    monkeypatch.setattr(complaints, "_USERS", str(users))
    first = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada"
    assert complaints.grant_ids("ada") == first
    uids.write_text("bob:100000:65536\n\n# a comment\nbroken:x:1\n")
    gids.write_text("bob:100000:65536\ncarl:165536:1000\n")
    free = "sudo usermod --add-subuids 166536-232071 --add-subgids 166536-232071 ada"
    assert complaints.grant_ids("ada") == free
    far = f"echo carl:166536:65536 | sudo tee -a {uids} {gids}"
    assert complaints.grant_ids("carl") == far, "usermod knows only who is in /etc/passwd"
