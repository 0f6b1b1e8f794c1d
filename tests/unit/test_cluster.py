"""Blocks on executors: the same run on every executor, and after any of its processes was killed."""

import io
import multiprocessing
import sys
import tarfile
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import pytest

from harness.errors import EvidenceError, HostError, UsageError
from harness.experiment import dask as dask_room
from harness.experiment.artifacts import at_home
from harness.experiment.dask import Cluster, check_address, pack_file, unpack_file
from harness.experiment.driver import run_experiment
from harness.experiment.experiment import Experiment
from harness.experiment.guests import machine_of_guests
from harness.experiment.remote import BlockJob, unpack_trials
from harness.experiment.request import Request
from harness.experiment.resume import BlockState
from harness.spec.arm import name_arms
from harness.spec.plan import Block
from harness.system.paths import cache_dir
from tests.unit.test_resume import PREPARED, _no_guests, check_whole, quiet  # noqa: F401

REQUEST = Request(name_arms(["source:6.1"]), ("one-big-many-small",), 5, 2, 1)


def jobs(notes, number):
    blocks = [Block(index, "source:6.1", "s", index, 1) for index in range(1, number + 1)]
    request = Request(REQUEST.arms, REQUEST.scenarios, 1, number, 1, append=str(notes))
    return [BlockJob(request, {}, PREPARED, block, BlockState(), machine_of_guests(), cache_dir()) for block in blocks]


@pytest.mark.usefixtures("_no_guests")
def test_a_process_pool_makes_the_run_that_one_process_makes(tmp_path):
    out = tmp_path / "run"
    experiment = Experiment(Request(name_arms(["source:6.1"] * 2), REQUEST.scenarios, 5, 2, 3, out), quiet())
    fork = multiprocessing.get_context("fork")  # with the guests that are made up
    with ProcessPoolExecutor(2, mp_context=fork) as pool:
        experiment.blocks = [
            Block(n, arm.name, "one-big-many-small", 1, 3) for n, arm in enumerate(experiment.request.arms)
        ]
        experiment.run_on(pool, machine_of_guests())
        experiment.measure(PREPARED)
    check_whole(out)


def test_a_scheduler_without_tls_is_taken_only_if_that_is_asked_for(monkeypatch):
    pytest.importorskip("distributed")
    for text in ("tcp://host:8786", "ws://host:8786", "inproc://x"):
        with pytest.raises(
            UsageError, match=r"has no TLS: anyone who reaches that port can run code .*--cluster-insecure"
        ):
            Cluster(text, 1, 64)
    monkeypatch.setattr(dask_room, "_CONNECT_S", 1)
    with pytest.raises(HostError, match="no Dask scheduler answers at tcp:"):
        Cluster("tcp://127.0.0.1:1", 1, 64, insecure=True).__enter__()
    with pytest.raises(HostError, match=r"tls://127.0.0.1:1 needs certificates: .*; docs/cluster.md"):
        Cluster("tls://127.0.0.1:1", 1, 64).__enter__()


def test_what_a_worker_lacks_comes_whole_and_with_its_holes(tmp_path, monkeypatch):
    content = b"x" * 10 + bytes(3 << 20) + b"y" + bytes(1 << 20)
    (tmp_path / "file").write_bytes(content)
    packed = pack_file(tmp_path / "file")
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    unpack_file("rootfs/k.ext4", packed)
    path = tmp_path / "cache/rootfs/k.ext4"
    assert path.read_bytes() == content
    assert path.stat().st_blocks * 512 < len(content)
    assert sorted(each.name for each in path.parent.iterdir()) == [".k.ext4.seal", "k.ext4"]


def test_paths_are_those_of_the_workers_cache(tmp_path, monkeypatch):
    before = cache_dir()
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path))
    found = at_home(PREPARED, before)
    assert found.rootfs == tmp_path / "rootfs/r.ext4"
    assert found.kernels["source:6.1"].image == str(tmp_path / "kernels/k/bzImage")


def test_evidence_that_is_no_evidence_is_refused(tmp_path):
    with pytest.raises(EvidenceError, match="cannot be read"):
        unpack_trials(b"not a tar", tmp_path)
    assert not list(tmp_path.glob(".*"))


def packed_entry(name, kind=tarfile.REGTYPE, target=""):
    packed, entry = io.BytesIO(), tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        tar.addfile(entry, io.BytesIO(b"text"))
    return packed.getvalue()


def test_evidence_is_unpacked_by_every_python(tmp_path, monkeypatch):
    """Debian 12's has no filters."""
    for name in ("data_filter", "tar_filter", "fully_trusted_filter"):
        monkeypatch.delattr(tarfile, name, raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", None)
    assert unpack_trials(packed_entry("001-1/trial.json"), tmp_path) == ["001-1"]
    assert (tmp_path / "trials/001-1/trial.json").read_text() == "text"


@pytest.mark.parametrize(
    "packed",
    [
        packed_entry("../001-1"),
        packed_entry("/001-1"),
        packed_entry("001-1/../x"),
        packed_entry("001-1/x/y"),
        packed_entry("x"),
        packed_entry("001-1/x", tarfile.SYMTYPE, "/etc/passwd"),
        packed_entry("001-1", tarfile.SYMTYPE, "/tmp"),
        packed_entry("001-1/x", tarfile.LNKTYPE, "001-1/y"),
        packed_entry("001-1/x", tarfile.FIFOTYPE),
        packed_entry("001-1/x", tarfile.CHRTYPE),
    ],
)
def test_an_archive_that_leads_elsewhere_is_refused_whole(packed, tmp_path):
    with pytest.raises(EvidenceError, match="is not a file of a trial"):
        unpack_trials(packed, tmp_path / "run")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "trials"]


@pytest.mark.parametrize("text", ["local:0", "local:x", "host", "host:8786", "tcp://host:8786"])
def test_an_address_that_is_none(text):
    with pytest.raises(UsageError, match="--cluster"):
        check_address(text)


def test_what_cannot_go_side_by_side(tmp_path):
    request = Request(REQUEST.arms, REQUEST.scenarios, 5, 2, 1, tmp_path / "run", until_decided=True)
    with pytest.raises(UsageError, match="side by side"):
        Experiment(request, quiet()).run_on(ProcessPoolExecutor(1), machine_of_guests())


def test_dask_is_asked_for_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(HostError, match=r"--cluster needs distributed; pip install 'oomtrial\[cluster\]'"):
        run_experiment(
            Experiment(Request(REQUEST.arms, REQUEST.scenarios, 5, 2, 1, tmp_path / "r"), quiet()), "local:2"
        )


def test_workers_that_are_gone_are_not_said_to_be_too_small():
    """As on a busy machine, where both of a local cluster lost their connection."""
    pytest.importorskip("distributed")
    cluster = Cluster("tls://host:8786", 1, 64)
    cluster._client = SimpleNamespace(scheduler_info=lambda **_: {"workers": {}})
    with pytest.raises(HostError, match="the workers at tls://host:8786 are gone"):
        _ = cluster.executor
