"""The guest's root file system is made of the host's own suite, whatever else its apt reads."""

import pytest

from harness.guest.rootfs import Mirror, choose_suite

MAIN, SECURITY = "http://deb.debian.org/debian/", "http://deb.debian.org/debian-security/"


def mirrors(*suites):
    """`suite` as apt's sources have it, or `suite=codename`."""
    pairs = [suite.split("=") if "=" in suite else (suite, suite) for suite in suites]
    return [Mirror(SECURITY if "-security" in codename else MAIN, suite, "main", codename) for suite, codename in pairs]


@pytest.mark.parametrize(
    ("codename", "listed", "suite", "used"),
    [
        (
            "bookworm",
            "bookworm bookworm-updates bookworm-security",
            "bookworm",
            "bookworm bookworm-updates bookworm-security",
        ),
        ("bookworm", "trixie sid bookworm bookworm-security", "bookworm", "bookworm bookworm-security"),
        ("bookworm", "oldstable=bookworm stable=trixie", "oldstable", "oldstable"),
        (
            "bookworm",
            "oldstable-security=bookworm-security oldstable=bookworm sid",
            "oldstable",
            "oldstable-security oldstable",
        ),
        ("forky", "sid", "sid", "sid"),
        ("forky", "unstable=sid", "unstable", "unstable"),
        ("forky", "experimental=rc-buggy sid", "sid", "sid"),
        ("forky", "sid forky forky-security", "forky", "forky forky-security"),
        ("forky", "testing=forky", "testing", "testing"),
        ("noble", "noble noble-updates noble-security", "noble", "noble noble-updates noble-security"),
        ("", "trixie trixie-updates", "trixie", "trixie trixie-updates"),
        (
            "faye",
            "bookworm bookworm-updates",
            "bookworm",
            "bookworm bookworm-updates",
        ),  # a derivative on Debian's archive
    ],
)
def test_the_guest_root_is_of_the_hosts_own_suite(codename, listed, suite, used):
    chosen, of_it = choose_suite(mirrors(*listed.split()), codename)
    assert chosen == suite
    assert [mirror.suite for mirror in of_it] == used.split()
