// SPDX-License-Identifier: Apache-2.0
/*
 * A collector or watcher as it is shipped, outside of a container: its calls led through here. Its paths are below $ROOT.
 * -DSOURCE="..." names it. In the environment:
 *   FLOOD  the kernel log has always one record more; what was written to it comes after a hundred others
 *   RAISE  number of a signal that comes after the flags were looked at, right before the first wait
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *in_root(const char *path)
{
	static char text[8192];
	snprintf(text, sizeof text, "%s%s", getenv("ROOT"), path);
	return text;
}

static char written[512];

static ssize_t noted_write(int fd, const void *text, size_t size)
{
	snprintf(written, sizeof written, "%.*s", (int)size, (const char *)text);
	return write(fd, text, size);
}

static ssize_t flooded_read(int fd, void *buffer, size_t size, int is_kmsg)
{
	static long sequence;
	if (!is_kmsg || !getenv("FLOOD"))
		return read(fd, buffer, size);
	usleep(100);
	if (++sequence % 100)
		return snprintf(buffer, size, "6,%ld,%ld,-;flood\n", sequence, sequence);
	return snprintf(buffer, size, "12,%ld,%ld,-;%s", sequence, sequence, written[0] ? written : "nothing\n");
}

static void raise_once(void)
{
	if (getenv("RAISE")) {
		int number = atoi(getenv("RAISE"));
		unsetenv("RAISE");
		raise(number);
	}
}

static int late_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	raise_once();
	return poll(fds, n, timeout_ms);
}

static int late_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	raise_once();
	return ppoll(fds, n, timeout, mask);
}

#define open(path, ...) open(strncmp(path, "/dev/kmsg", 9) ? path : in_root(path), __VA_ARGS__)
#define fopen(path, how) fopen(in_root(path), how)
#define opendir(path) opendir(in_root(path))
#define mkdir(path, mode) mkdir(in_root(path), mode)
#define mount(...) (errno = EPERM, -1)
#define write noted_write
#define read(fd, buffer, size) flooded_read(fd, buffer, size, (fd) == kmsg_fd)
#define poll late_poll
#define ppoll late_ppoll
#define main shipped_main
#include SOURCE
#undef main

#ifdef LOSSES
int main(void)
{
	strcpy(collector_name, "ours");
	strcpy(instance, TRACEFS "/instances/oomtrial-ours");
	report_losses(7);
	return 0;
}
#else
int main(int argc, char **argv)
{
	return shipped_main(argc, argv);
}
#endif
