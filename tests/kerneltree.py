"""A kernel tree small enough to be built in a moment: it configures, compiles one file, and makes a "bzImage"."""

from harness.kernels import config

MAKEFILE = """VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 0

tinyconfig:
	@cat base.config > $(KCONFIG_CONFIG)
olddefconfig:
	@test -s $(KCONFIG_CONFIG)
bzImage: mm/oom_kill.o
	@cat mm/oom_kill.c > arch/x86/boot/bzImage
mm/oom_kill.o: mm/oom_kill.c
	@echo "  CC      $@"
	@$(CC) -c -o $@ $<
"""
MERGE = """#!/bin/sh
# merge_config.sh -m BASE FRAGMENT
cat "$2" "$3" > "$KCONFIG_CONFIG.merged" && mv "$KCONFIG_CONFIG.merged" "$KCONFIG_CONFIG"
"""
OOM_KILL = "int one;\nint two;\nint three;\n"
FIX = """--- a/mm/oom_kill.c
+++ b/mm/oom_kill.c
@@ -1,3 +1,3 @@
 int one;
-int two;
+int fixed;
 int three;
"""


def make_tree(path):
    """Writes the tree, with objects of an earlier build in it, as a developer's has."""
    needed = " ".join([*config._NEEDED.values(), config._NEEDED_DRIVERS]).split()
    files = {
        "Makefile": MAKEFILE,
        "Kconfig": "",
        "arch/x86/Makefile": "",
        "arch/x86/boot/.gitignore": "bzImage\n",
        "mm/oom_kill.c": OOM_KILL,
        "mm/oom_kill.o": "stale",
        "mm/page_alloc.c": "int page;\n",
        "base.config": "".join(f"CONFIG_{name}=y\n" for name in needed),
        ".gitignore": "*.o\n.config\n",
        ".config": "CONFIG_MINE=y\n",
        "scripts/kconfig/merge_config.sh": MERGE,
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    (path / "scripts/kconfig/merge_config.sh").chmod(0o755)
    (path / "Documentation").symlink_to("mm")
    return path
