"""Progress of long work: an estimated total, and silence."""

from io import StringIO

from rich.console import Console

from harness.progress import Reporter


def test_a_total_that_is_exceeded_is_not_shown():
    with Reporter(Console(file=StringIO())) as progress, progress.task("build") as task:
        task.update(done=5)
        assert task.count() == "5"
        task.update(done=6, total=10)
        assert task.count() == "6/10"
        task.update(done=12)
        assert task.count() == "12"


def test_quiet_says_nothing(monkeypatch):
    shown = StringIO()
    Reporter(Console(file=shown)).say("one")
    monkeypatch.setattr(Reporter, "is_quiet", True)
    Reporter(Console(file=shown)).say("two")
    assert "one" in shown.getvalue()
    assert "two" not in shown.getvalue()
