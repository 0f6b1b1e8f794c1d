"""`oomtrial watch --metrics`, a real kill in a real container, and Debian's Prometheus that scrapes it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.host_docker

PATIENCE_S = 60  # of a busy host


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Debian's package, unpacked and not installed: no service is started."""
    place = tmp_path_factory.mktemp("prometheus")
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} here: Prometheus is taken from Debian's package")
    done = subprocess.run(["apt-get", "download", "prometheus"], cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no package prometheus: {done.stderr.strip().splitlines()[-1]}; run apt-get update as root")
    (package,) = place.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, place / "root"], check=True)
    return place / "root" / "usr" / "bin" / "prometheus"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def scraper(prometheus, tmp_path):
    """Starts a Prometheus that scrapes a port every second; returns a function that asks it a query."""
    started = []

    def start(port):
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "oomtrial", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        own = free_port()
        process = subprocess.Popen(
            [
                prometheus,
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/tsdb",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)

        def ask(query):
            url = f"http://127.0.0.1:{own}/api/v1/query?query={urllib.parse.quote(query)}"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.loads(answer.read())["data"]["result"]
            except OSError:
                assert process.poll() is None
                return []

        return ask

    yield start
    for process in started:
        process.terminate()
        process.wait()


def wait_for(what):
    """What the function returns, once that is something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def test_prometheus_sees_a_kill_with_its_container(start_oomtrial, engine_url, dies_at_its_limit, scraper):
    port = free_port()
    env = {"DOCKER_HOST": engine_url, "PYTHONUNBUFFERED": "1"}
    watch = start_oomtrial("watch", "--json", "--metrics", str(port), env=env)
    ask = scraper(port)
    assert wait_for(lambda: ask("oomtrial_kernel_log_records_lost_total")), watch.poll()
    assert wait_for(
        lambda: any(os.path.realpath(each) == "/dev/kmsg" for each in Path(f"/proc/{watch.pid}/fd").iterdir())
    )
    time.sleep(0.5)  # for the engine's names
    name, _ = dies_at_its_limit()
    (kills,) = wait_for(lambda: ask(f'oomtrial_oom_kills_total{{container="{name}"}}'))
    assert kills["value"][1] == "1"
    assert kills["metric"]["kernel"] == os.uname().release
    (overlaps,) = ask(f'oomtrial_oom_kills_overlap_estimated_total{{container="{name}"}}')
    assert overlaps["value"][1] == "0"
    assert ask("up")[0]["value"][1] == "1"
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(timeout=30) == 0
