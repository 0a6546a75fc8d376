"""The unit of a container, as systemd reads it."""

import pytest

from rootless.container import unit

_COMMANDS = unit.Commands(("/bin/r", "start", "web"), ("/bin/r", "stop", "web"), ("/bin/r", "x"))


def test_the_whole_unit():
    wishes = unit.Wishes(
        restart="always",
        restart_sec=5,
        start_timeout=30,
        stop_timeout=20,
        after=("db.service",),
        wants=("db.service",),
        requires=("net.service",),
        environment=("A=b c",),
        folder="/srv/site",
    )
    assert unit.text("web", _COMMANDS, "/home/ada/100% mine", wishes, "# head\n") == (
        "# head\n"
        "[Unit]\n"
        "Description=Container web\n"
        "Wants=network-online.target db.service\n"
        "After=network-online.target db.service\n"
        "Requires=net.service\n"
        'RequiresMountsFor="/home/ada/100%% mine"\n'
        "\n"
        "[Service]\n"
        "Type=exec\n"
        "WorkingDirectory=/srv/site\n"
        'Environment="A=b c"\n'
        "Restart=always\n"
        "RestartSec=5\n"
        "TimeoutStartSec=30\n"
        "TimeoutStopSec=80\n"
        "Delegate=yes\n"
        "KillMode=mixed\n"
        "SuccessExitStatus=143\n"
        "ExecStart=/bin/r start web\n"
        "ExecStop=-/bin/r stop web\n"
        "ExecStopPost=-/bin/r x\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        ("--env=A=1", "--env=A=1"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "no"', '"say \\"no\\""'),
        ("it's", '"it\'s"'),
        ("100%", "100%%"),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nbreak", '"line\\x0abreak"'),
        ("$HOME", "$$HOME"),
        ("a;b", '"a;b"'),
    ],
)
def test_words_reach_the_command_as_they_are(word, written):
    assert unit.command(("/bin/r", word)) == f"/bin/r {written}"
