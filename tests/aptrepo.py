"""A Debian archive small enough to be made in a test: signed with a throw-away key, served on a loopback port, and read by
an apt that has no other. Nothing here asks a real mirror."""

import contextlib
import hashlib
import http.server
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import threading
import time
from pathlib import Path

from harness.kernels import config
from tests.kerneltree import make_tree

TOOLS = ("apt-get", "dpkg-deb", "gpg", "gpg-agent")


def missing_tools():
    return [tool for tool in TOOLS if not shutil.which(tool)]


def make_key(home):
    """A key and its keyring; `home` is short enough for the socket of gpg's agent."""
    home.mkdir(mode=0o700)
    gpg(home, "--quick-generate-key", "oomtrial test", "ed25519", "sign", "never")
    (home / "keyring.gpg").write_bytes(gpg(home, "--export"))
    return home


def end_agent(home):
    """gpg starts an agent for a home, which would outlive the tests."""
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True, timeout=60)


def gpg(home, *arguments, text=b""):
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*argv, *arguments], input=text, capture_output=True, check=True, timeout=60).stdout


class Archive:
    """Suites of packages, at `uri`. Change `uri` and the files as you like: apt sees what a real mirror may do."""

    def __init__(self, root, key):
        self.root, self.key = root, key
        self.entries = {}  # (suite, kind) to stanzas
        handler = type("Handler", (Quiet,), {"directory": str(root)})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        # asked that often whether it is to end: by default close() waits for half a second
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_port}/debian"

    @contextlib.contextmanager
    def copy(self, root):
        """Another one of the same packages, for a while."""
        shutil.copytree(self.root, root)
        made = Archive(root, self.key)
        made.entries = {place: list(stanzas) for place, stanzas in self.entries.items()}
        try:
            yield made
        finally:
            made.close()

    def close(self):
        """From here on the mirror is down."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def debian(self):
        return self.root / "debian"

    def add(self, suite, name, version, files, depends=""):
        """A binary package of some files, by their paths."""
        deb = self.debian / "pool" / f"{name}_{version}_amd64.deb"
        tree = self.root / "making"
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@b>\n"
        control += f"Depends: {depends}\n" if depends else ""
        for path, content in {"DEBIAN/control": f"{control}Description: x\n".encode(), **files}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        deb.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
        shutil.rmtree(tree)
        content = deb.read_bytes()
        stanza = f"{control}Filename: pool/{deb.name}\nSize: {len(content)}\nSHA256: {sha256(content)}\n"
        self.entries.setdefault((suite, "binary"), []).append(f"{stanza}Description: x\n")
        return deb

    def add_source(self, suite, version, files):
        """A version of the source package linux, with its files by their names."""
        pool = self.debian / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        dsc = f"linux_{version}.dsc"
        sums = "".join(f" {sha256(content)} {len(content)} {name}\n" for name, content in files.items())
        head = f"Format: 3.0 (quilt)\nSource: linux\nBinary: linux-doc\nVersion: {version}\n"
        files = {**files, dsc: f"{head}Checksums-Sha256:\n{sums}".encode()}
        for name, content in files.items():
            (pool / name).write_bytes(content)
        sums = "".join(f" {sha256(content)} {len(content)} {name}\n" for name, content in files.items())
        stanza = f"Package: linux\nBinary: linux-doc\nVersion: {version}\nMaintainer: a <a@b>\nArchitecture: all\n"
        stanza += f"Format: 3.0 (quilt)\nDirectory: pool\nChecksums-Sha256:\n{sums}"
        self.entries.setdefault((suite, "source"), []).append(stanza)

    def publish(self, key=None):
        """Writes the indexes of all suites, signed."""
        for suite in {suite for suite, _ in self.entries}:
            directory = self.debian / "dists" / suite
            lists = {
                "main/binary-amd64/Packages": "\n".join(self.entries.get((suite, "binary"), [])),
                "main/source/Sources": "\n".join(self.entries.get((suite, "source"), [])),
            }
            release = f"Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\n"
            release += "Components: main\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
            for name, text in lists.items():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                (directory / name).write_text(text)
                release += f" {sha256(text.encode())} {len(text.encode())} {name}\n"
            signed = gpg(key or self.key, "--clearsign", text=release.encode())
            index = directory / "InRelease"
            before = index.stat().st_mtime if index.exists() else 0
            index.write_bytes(signed)
            # HTTP tells changes by the second, and two publications may come in one
            changed = max(time.time(), before + 1)
            for path in (index, *(directory / name for name in lists)):
                os.utime(path, (changed, changed))

    def host_apt(self, directory, *suites):
        """The environment of a host whose apt reads these suites of the archive, and nothing else."""
        for name in ("lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        keyring = self.key / "keyring.gpg"
        lines = [f"deb [signed-by={keyring}] {self.uri} {suite} main\n" for suite in suites]
        (directory / "sources.list").write_text("".join(lines))
        (directory / "apt.conf").write_text(f"""Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{directory}/sources.list";
Dir::State "{directory}";
Dir::State::lists "{directory}/lists";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Proxy "DIRECT";
""")
        environment = {"APT_CONFIG": str(directory / "apt.conf")}
        subprocess.run(["apt-get", "update"], env={**os.environ, **environment}, check=True, capture_output=True)
        return environment


class Quiet(http.server.SimpleHTTPRequestHandler):
    directory = "."

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=self.directory)

    def log_message(self, *_):
        pass


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def tar_of(directory, top):
    """A .tar.xz of a directory, under a name of its own."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(directory, top)
    return lzma.compress(packed.getvalue(), preset=0)


def kernel_config():
    options = " ".join([*config._NEEDED.values(), config._NEEDED_DRIVERS]).split()
    return "".join(f"CONFIG_{name}=y\n" for name in options).encode()


def prebuilt_files(release):
    """The files of a prebuilt kernel, by the packages that hold them since 6.19: binary, modules, base."""
    modules = f"usr/lib/modules/{release}"
    driver = b"\x7fELF..\0license=GPL\0depends=\0intree=Y\0"
    names = ("virtio_pci", "virtio_blk", "virtio_net", "qemu_fw_cfg", "ext4")
    built_in = "".join(f"kernel/{name}.ko\n" for name in names)
    return (
        {f"{modules}/vmlinuz": release.encode()},
        {f"{modules}/kernel/overlay.ko.xz": lzma.compress(driver)},
        {f"{modules}/config": kernel_config(), f"{modules}/modules.builtin": built_in.encode()},
    )


def add_prebuilt(archive, suite, version, name, *, without=()):
    """A prebuilt kernel in the packages that Debian makes of it since 6.19."""
    binary, modules, base = prebuilt_files(name)
    depends = ", ".join(f"linux-{part}-{name} (= {version})" for part in ("base", "binary", "modules"))
    archive.add(suite, f"linux-image-{name}", version, {}, f"initramfs-tools | dracut, {depends}")
    for part, files in (("binary", binary), ("modules", modules), ("base", base)):
        if part not in without:
            archive.add(suite, f"linux-{part}-{name}", version, files)


def add_old_prebuilt(archive, suite, version, name):
    """A prebuilt kernel in one package, as until 6.17."""
    files = {
        path.replace(f"usr/lib/modules/{name}/vmlinuz", f"boot/vmlinuz-{name}").replace(
            f"usr/lib/modules/{name}/config", f"boot/config-{name}"
        ): content
        for part in prebuilt_files(name)
        for path, content in part.items()
    }
    return archive.add(suite, f"linux-image-{name}", version, files)


def kernel_source(directory, release):
    """A kernel tree of some release, which builds in a moment."""
    tree = make_tree(Path(directory) / "tree")
    major, minor, sublevel = release.split(".")
    text = (tree / "Makefile").read_text()
    text = text.replace(
        "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0", f"VERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = {sublevel}"
    )
    (tree / "Makefile").write_text(text)
    return tree
