"""A fresh user without root, as Debian makes one: no sbin in PATH, an empty home. Nothing of it stays on this machine.

Root makes one up: an id that nobody has, and /etc/passwd, /etc/subuid and /etc/subgid that know it, in a mount namespace of the
command's own. Anybody else is one already, and gets an empty home and the PATH.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

PATH = "/usr/local/bin:/usr/bin:/bin"
NAME, UID = "oomtrial-test", 54321
_AS_USER = """set -eu
for file in passwd subuid subgid; do mount --bind "$ETC/$file" "/etc/$file"; done
exec setpriv --pdeathsig KILL --reuid {uid} --regid {uid} --clear-groups {caps} -- "$@"
"""
# Where the interpreter, or the checkout, lies in a home that is closed to others: it may read what is there, no more.
_READS_ALL = "--inh-caps +dac_read_search --ambient-caps +dac_read_search"


class OrdinaryUser:
    """Runs commands in its name."""

    def __init__(self, home: Path, etc: Path | None) -> None:
        self.home, self._etc, self._caps = home, etc, ""

    def run(self, *argv: object, timeout: float = 600, **env: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_", "TMPDIR"))}
        known |= {
            "HOME": str(self.home),
            "PATH": PATH,
            "USER": NAME,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        } | env
        argv = ["env", "-i", *(f"{name}={value}" for name, value in known.items()), *map(str, argv)]
        if self._etc is not None:
            script = _AS_USER.format(uid=UID, caps=self._caps)
            argv = ["unshare", "--mount", "sh", "-c", script, "sh", *argv]
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.home,
            env={**os.environ, "ETC": str(self._etc)},
        )

    def reads_all(self) -> None:
        self._caps = _READS_ALL


@contextmanager
def ordinary_user(interpreter: str):
    """The user, who can run the interpreter; or the reason why there is none."""
    with tempfile.TemporaryDirectory(prefix="oomtrial-user-") as scratch:
        Path(scratch).chmod(0o755)
        home = Path(scratch) / "home"
        home.mkdir()
        if os.geteuid():
            yield OrdinaryUser(home, None)
            return
        shutil.chown(home, UID, UID)
        etc = Path(scratch) / "etc"
        etc.mkdir()
        account = f"{NAME}:x:{UID}:{UID}::{home}:/bin/sh\n"
        (etc / "passwd").write_text(Path("/etc/passwd").read_text() + account)
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"{NAME}:100000:65536\n")
            Path("/etc", name).touch()  # something to mount over
        user = OrdinaryUser(home, etc)
        if user.run(interpreter, "-c", "import harness").returncode:
            user.reads_all()
        done = user.run(interpreter, "-c", "import harness")
        yield done.stderr.strip() if done.returncode else user
