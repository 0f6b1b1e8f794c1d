/*
 * First program of a guest whose kernel has its drivers as modules: loads them, mounts the root disk and hands over.
 * Modules are in /modules, named so that their alphabetical order is the order in which they must be loaded.
 * It speaks as the guest's init does ("oomtrial-init: ..."), so that the host finds its last words on the console.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INIT "/sbin/oomtrial-init"
#define DISK "/dev/vda"
#define DISK_WAIT_MS 20000

static void die(const char *what, const char *which)
{
	printf("oomtrial-init: failed: %s %s: %s\n", what, which, strerror(errno));
	fflush(stdout);
	reboot(RB_POWER_OFF);
	exit(1);
}

static void load_modules(void)
{
	struct dirent **entries;
	int count = scandir("/modules", &entries, NULL, alphasort);

	if (count < 0 || chdir("/modules"))
		die("read", "/modules");
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		int fd;

		if (name[0] == '.')
			continue;
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			die("load", name);
		close(fd);
		/* The initramfs is memory of the guest: give it back. */
		unlink(name);
	}
}

int main(void)
{
	struct stat disk;
	int waited_ms = 0;

	load_modules();
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL))
		die("mount", "/dev");
	for (; stat(DISK, &disk); waited_ms += 20) {
		if (waited_ms > DISK_WAIT_MS)
			die("find", DISK);
		usleep(20000);
	}
	if (mount(DISK, "/root", "ext4", MS_RDONLY, NULL))
		die("mount", DISK);
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL))
		die("move", "/dev");
	unlink("/init");
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("enter", "/root");
	execl(INIT, INIT, (char *)NULL);
	die("start", INIT);
}
