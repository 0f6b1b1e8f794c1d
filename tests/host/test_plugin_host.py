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
    # The path, as another project is not in this checkout.
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
    """What oomtrial made in this engine; cgroups of other engines are left out."""
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


IMAGES = r"""
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tar(image, tmp_path_factory):
    return Path(shutil.make_archive(tmp_path_factory.mktemp("tar") / "pool", "tar", image))


def test_images(memcg_container, docker_client, image, tar, tmp_path):
    def run(source):
        end = memcg_container(source, ["/pool", "1"], memory="16M", environment={"A": "b"})
        assert (end.exit_code, end.logs, end.timed_out) == (0, "job 1: done\n", False), end

    run(image)
    run(tar)
    run(str(tar))
    (tmp_path / "pool").write_bytes((image / "pool").read_bytes())
    (tmp_path / "pool").chmod(0o755)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY pool /pool\n")
    run(tmp_path)
    docker_client.api.import_image_from_file(str(tar), repository="theirs", tag="1")
    run("theirs:1")
    run(lambda client: client.images.get("theirs:1").id)
    saved = tmp_path / "saved.tar"
    saved.write_bytes(b"".join(docker_client.images.get("theirs:1").save(named=True)))
    docker_client.images.remove("theirs:1", force=True)
    run(saved)
    assert docker_client.images.get("theirs:1")  # removed at the end, as it was not there before


@pytest.mark.parametrize("labels", [{"theirs": "1"}, ["theirs"], {}, None])
def test_labels(memcg_container, docker_client, image, labels):
    end = memcg_container(image, ["/pool", "1"], memory="16M", labels=labels)
    (found,) = docker_client.containers.list(all=True, filters={"name": f"-{end.name}$"})
    assert ("theirs" in found.labels, "org.oomtrial" in found.labels) == (bool(labels), True)


def test_a_deadline(memcg_container, image):
    end = memcg_container(image, ["/pool", "wait"], memory="16M", deadline_s=1)
    assert end.timed_out
    assert end.exit_code == 137
    assert not end.oom_killed
    assert not end.survived


def test_what_is_not_there(memcg_container, tmp_path):
    for source in ("nosuch:1", tmp_path / "nosuch", "./nosuch.tar"):
        memcg_container(source, ["/x"], memory="16M")
"""


def test_images_of_every_form_and_how_a_missing_one_is_reported(engine, engine_url, tmp_path):
    (tmp_path / "test_it.py").write_text(IMAGES)
    (tmp_path / "conftest.py").write_text((SAMPLE / "conftest.py").read_text())
    waits = '	if (argc == 2 && !strcmp(argv[1], "wait"))\n		pause();\n	for (int job'
    (tmp_path / "pool.c").write_text((SAMPLE / "pool.c").read_text().replace("	for (int job", waits))
    process = start([], engine_url, tmp_path)
    shown, _ = process.communicate(timeout=120)
    assert "1 failed, 6 passed" in shown, shown
    assert (
        "UsageError: the local engine has no image 'nosuch:1', and nothing is pulled; build or load it there" in shown
    )
    assert leftovers(engine) == []
    assert not [tag for image in engine.images.list() for tag in image.tags if "theirs" in tag]
