"""`oomtrial doctor`: a checklist in which every "no" says what mends it."""

import io

import pytest
from rich.console import Console

from harness.errors import HostError
from harness.guest import accel
from harness.guest.accel import Probe
from harness.maintenance import doctor
from harness.maintenance.doctor import Finding, FindingState, print_findings

MSRS = "qemu-system-x86_64: ../target/i386/kvm/kvm.c:3213: kvm_buf_set_msrs: Assertion `ret == 1' failed."


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.setattr(accel, "_MODULES", tmp_path)
    return tmp_path


def test_an_assertion_of_qemu_is_put_in_words(modules):
    assert modules.is_dir()
    said = accel.explain_failure(f"qemu-system-x86_64 ended while the guest started: {MSRS}")
    assert said.startswith("no guest boots with KVM: QEMU gives up in kvm_buf_set_msrs(), as this machine's KVM lacks")
    assert "Assertion" not in said
    assert accel.explain_failure("it hangs") == "no guest boots with KVM: it hangs"


def test_a_paravirtual_kvm_is_called_that(modules):
    (modules / "kvm_pvm").mkdir()
    for said in (MSRS, "the guest's Docker API has not answered for 30 s", "no guest boots with KVM: it hangs"):
        assert accel.explain_failure(said) == (
            "no guest boots with KVM: this machine has kvm_pvm, which runs paravirtual guests only"
        )


@pytest.mark.parametrize(
    ("probe", "openable", "state", "remedy"),
    [
        (None, "/dev/kvm: Permission denied", FindingState.NOTE, "k"),
        (None, None, FindingState.NOTE, "oomtrial run --kernel debian:"),
        (Probe("tcg", "no guest boots with KVM: x"), None, FindingState.NOTE, "no command fixes it"),
        (Probe("kvm", "a guest booted with KVM"), None, FindingState.OK, ""),
    ],
)
def test_acceleration(monkeypatch, probe, openable, state, remedy):
    monkeypatch.setattr(doctor, "cached_probe", lambda: probe)
    monkeypatch.setattr(doctor, "kvm_openable", lambda: openable)
    found = doctor._acceleration()
    assert found.state is state
    assert remedy in found.remedy
    assert bool(found.remedy) == (state is not FindingState.OK)


def test_every_no_has_a_remedy(monkeypatch):
    def fail(*_arguments, **_options):
        raise HostError("it is broken", "mend it")

    monkeypatch.setattr(doctor, "connect_local", fail)
    monkeypatch.setattr(doctor, "offered_versions", fail)
    monkeypatch.setattr(doctor, "require_user_namespace", fail)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(doctor, "output_of", lambda _: "")
    monkeypatch.setattr(doctor, "kernel_log_trouble", lambda: HostError("it is broken", "mend it"))
    monkeypatch.setattr(doctor, "cached_probe", fail)
    monkeypatch.setattr(doctor, "available_mib", lambda: 1)
    monkeypatch.setattr(doctor, "_NEED_DISK", 1 << 60)
    findings = doctor.diagnose()
    assert [finding.topic for finding in findings if finding.state is FindingState.OK] == ["cache"]
    assert [finding.topic for finding in findings if finding.state is not FindingState.OK and not finding.remedy] == []
    assert findings[0].remedy.startswith("sudo apt-get install ")


def shown(*findings):
    out = io.StringIO()
    print_findings(Console(file=out, width=100), list(findings))
    return out.getvalue()


def test_the_checklist():
    text = shown(
        Finding("a", FindingState.OK, "fine", "unused"), Finding("b", FindingState.NOTE, "not [there]", "make b")
    )
    assert "-> make b" in text
    assert "unused" not in text
    assert "not [there]" in text
    assert text.splitlines()[-1] == "guests can run: oomtrial demo; b: optional"
    assert shown(Finding("c", FindingState.MISSING, "gone", "get c")).splitlines()[-1] == "guests cannot run yet: fix c"


def test_the_kernels_that_apt_offers_are_told_in_a_line(monkeypatch):
    monkeypatch.setattr(doctor, "offered_versions", lambda: ["6.1", "6.12"])
    monkeypatch.setattr(doctor, "offered_series", lambda: ["6.1"])
    monkeypatch.setattr(doctor, "plan_rootfs", lambda: None)
    text = doctor._sources().text
    assert text.startswith("source:6.1 with ")
    assert " patches, source:6.12 with " in text
    assert len(text) < 200
