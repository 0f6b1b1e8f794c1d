"""The sample project on the local engine, as its people run it; and a worker that is killed there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker
import psutil
import pytest

from harness.containers.running import LABEL

pytestmark = pytest.mark.host_docker

SAMPLE = Path(__file__).parents[2] / "docs" / "sample-project"
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]


@pytest.fixture(scope="module")
def engine(engine_url):
    client = docker.DockerClient(base_url=engine_url)
    yield client
    client.close()


def start(arguments, engine_url, directory, **options):
    # The path, as a project of somebody else's is not in this checkout.
    env = {**os.environ, "DOCKER_HOST": engine_url, "PYTHONPATH": str(SAMPLE.parents[1])}
    return subprocess.Popen(
        [*PYTEST, *map(str, arguments)], cwd=directory, env=env, stdout=subprocess.PIPE, text=True, **options
    )


def test_the_sample_project_passes_outside_the_checkout_and_leaves_nothing(installed, engine, engine_url, tmp_path):
    project = shutil.copytree(SAMPLE, tmp_path / "project")
    arguments = ["-m", "pytest", "-v", "-p", "no:cacheprovider", "--kernel", "host", "--oomtrial-out", tmp_path / "out"]
    shown = installed.run(*arguments, cwd=project, env={"DOCKER_HOST": engine_url})
    assert shown.returncode == 0, shown.stdout
    assert "6 passed" in shown.stdout
    assert len(list(tmp_path.glob("out/host-one-big-many-small-*/run.json"))) == 1
    assert leftovers(engine) == []


def leftovers(engine):
    """What is ours in this engine; cgroups of other engines that run are none of our business here."""
    found = [each.name for each in engine.containers.list(all=True, filters={"label": LABEL})]
    return found + [tag for image in engine.images.list() for tag in image.tags if tag.count("-") > 1]


def has_container(engine, ending):
    return any(name.endswith(ending) for each in engine.api.containers(all=True) for name in each["Names"])


SLEEPS = """
import time

def test_it(memcg_container, image):
    memcg_container(image, ["/pool", "leak"], memory="16M")
    time.sleep(600)
"""


def test_a_killed_worker_leaves_nothing_in_the_engine(engine, engine_url, tmp_path):
    (tmp_path / "test_it.py").write_text(SLEEPS)
    for name in ("conftest.py", "pool.c"):
        (tmp_path / name).write_text((SAMPLE / name).read_text())
    process = start(["-n", "1", "--max-worker-restart", "0", "-x"], engine_url, tmp_path)
    try:
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end and not has_container(engine, "-c1"):
            time.sleep(0.1)
        (worker,) = psutil.Process(process.pid).children()
        worker.send_signal(signal.SIGKILL)
        shown, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.stdout.close()
    assert "worker 'gw0' crashed" in shown
    assert leftovers(engine) == []
    assert not list(Path("/sys/fs/cgroup").glob("*/oomtrial/*/*/"))
