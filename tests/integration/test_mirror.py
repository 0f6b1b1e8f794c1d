"""The mirror of this host."""

import pytest

from tests.unit.test_kernel_bases import one_line


def test_the_real_mirror_gives_a_kernel_that_this_host_lacks(kernels):
    """The one test that asks a Debian mirror; this suite's lists are small."""
    done = kernels("show", "debian:6.18@trixie-backports")
    if done.returncode and "does not answer" in done.stderr:
        pytest.skip("the mirror of this host does not answer")
    assert "linux-image-6.18." in done.stdout or "nearest: " in one_line(done, 4)
