"""Blocks on real local clusters of Dask: a worker that is killed, another user of the machine, certificates."""

import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO

import psutil
import pytest
from fakeblocks import fake_block
from rich.console import Console

from harness.experiment.dask import Cluster
from harness.experiment.remote import run_all
from harness.progress import Reporter
from tests.unit.test_cluster import jobs


def test_a_worker_that_is_killed_costs_nothing_and_counts_nothing_twice(tmp_path):
    """A real local cluster of two processes; one of them is killed in the middle of a block."""
    pytest.importorskip("distributed")
    notes, out = tmp_path / "notes", tmp_path / "run"
    notes.mkdir()
    killed = []

    def kill_one():
        while not killed:
            time.sleep(0.02)
            for note in sorted(notes.iterdir(), key=lambda path: path.name.split("-")[2])[2:3]:
                time.sleep(0.1)  # a block takes 0.4 s
                killed.append(int(note.name.split("-")[1]))
                os.kill(killed[0], signal.SIGKILL)

    progress = Reporter(Console(file=StringIO()))
    threading.Thread(target=kill_one, daemon=True).start()
    with Cluster("local:2", 1, 64) as cluster, progress.task("rounds", 6) as task:
        results = run_all(cluster.executor, jobs(notes, 6), out, progress, task, fake_block)
        assert task.done == 6
    assert [result.block.index for result in results] == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in (out / "trials").iterdir()) == [f"{n:03d}-1" for n in range(1, 7)]
    assert len(list(notes.iterdir())) > 6  # a block was run twice


ATTACK = r"""
import asyncio, os, pickle, socket, subprocess, sys
from distributed import Security
from distributed.core import rpc

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def run(address, operation, arguments):
    async with rpc(address, connection_args=arguments, timeout=10) as there:
        request = getattr(there, operation)(function=pickle.dumps(subprocess.getoutput), args=pickle.dumps((command,)))
        await asyncio.wait_for(request, 20)  # a busy machine is slow to start a shell

async def run_everywhere(ports):
    own = Security.temporary().get_connection_args("client")
    tries = [
        run(f"{scheme}://127.0.0.1:{port}", operation, arguments)
        for port in ports
        for scheme, arguments in (("tcp", {}), ("tls", own))
        for operation in ("run", "run_function")
    ]
    await asyncio.gather(*tries, return_exceptions=True)

command = f"echo $PPID >> {sys.argv[1]}"
asyncio.run(run_everywhere(sys.argv[2:]))
for port in sys.argv[2:]:
    try:
        with socket.create_connection(("127.0.0.1", int(port)), 3) as asking:
            asking.sendall(b"GET /json/identity.json HTTP/1.0\r\n\r\n")
            if asking.recv(100).startswith(b"HTTP"):
                print("an HTTP server at", port)
    except OSError:
        pass
"""


def listening():
    """The ports at which this process and those below it listen."""
    return {
        connection.laddr.port
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def attacked(notes, others):
    """What another user of this machine gets of this process and those below it; without root, this user without the
    certificates: the number of ports, the pids in which its code ran, and what else answered. `others`: ports of other tests."""
    ports = listening() - others
    notes.touch()
    argv = [sys.executable, "-c", ATTACK, notes, *map(str, sorted(ports))]
    if os.geteuid() == 0:  # the interpreter may lie in root's home, and reads modules of it later
        notes.chmod(0o666)
        nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search"
        argv = [*nobody.split(), *argv]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=240).stdout.splitlines()
    return len(ports), set(map(int, notes.read_text().split())), shown


def test_another_user_runs_no_code_in_a_local_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    others = listening()
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0):
        _, ran, servers = attacked(tmp_path / "open", others)
        below = [process.pid for process in psutil.Process().children() if "spawn_main" in " ".join(process.cmdline())]
    assert ran == {os.getpid(), *below}, "the attack must work where nothing is in its way"
    assert len(servers) >= 2  # of the scheduler and a worker; some versions of Dask open one more
    with Cluster("local:1", 1, 64) as cluster:
        assert cluster.executor.submit(os.getuid).result(30) == os.getuid()
        found = attacked(tmp_path / "closed", others)
    assert found == (3, set(), [])  # scheduler, nanny and worker listen


def test_a_scheduler_with_tls_is_used_with_the_certificates_of_dasks_config(tmp_path):
    pytest.importorskip("distributed")
    import dask

    with Cluster("local:1", 1, 64) as there:
        security = there._client.security
        (tmp_path / "ca.pem").write_text(security.tls_ca_file)
        (tmp_path / "key.pem").write_text(security.tls_client_key + security.tls_client_cert)
        ours = {"key": str(tmp_path / "key.pem"), "cert": str(tmp_path / "key.pem")}
        named = {"distributed.comm.tls.ca-file": str(tmp_path / "ca.pem"), "distributed.comm.tls.client": ours}
        address = there._client.scheduler.address
        assert address.startswith("tls://")
        with dask.config.set(named), Cluster(address, 1, 64) as cluster:
            assert cluster.executor.submit(os.getuid).result(30) == os.getuid()
