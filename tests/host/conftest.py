"""What the tests of the arm `host` share."""

import secrets
import signal
import time

import docker
import pytest

from harness.containers.images import load_image, plan_image
from harness.guest.local import kernel_log_trouble

LIMIT = 16 << 20


@pytest.fixture(scope="module")
def engine(engine_url):
    if trouble := kernel_log_trouble():
        pytest.skip(str(trouble))
    client = docker.DockerClient(base_url=engine_url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def dies_at_its_limit(engine):
    """Runs a container of another user, which is killed at its limit; returns its name and when that was."""
    reference = load_image(engine, plan_image("hog"))

    def run():
        name = f"stranger-{secrets.token_hex(4)}"
        container = engine.containers.create(
            reference,
            ["vm", f"bytes={4 * LIMIT}"],
            name=name,
            network_mode="none",
            mem_limit=LIMIT,
            memswap_limit=LIMIT,
        )
        try:
            container.start()
            ended = container.wait(timeout=60)
            assert ended["StatusCode"] == 128 + signal.SIGKILL
        finally:
            container.remove(force=True)
        return name, time.monotonic()

    yield run
    engine.images.remove(reference)
