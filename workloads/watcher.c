// SPDX-License-Identifier: Apache-2.0
/*
 * watcher: what the OOM killer does in an engine, as lines on stdout, while a user's tests run there.
 *
 *   watcher --token TEXT --root CGROUP     (a path below the cgroup root; containers of the tests are in directories of it)
 *
 * It runs with CAP_SYSLOG, in the host's pid and cgroup namespaces, and prints
 *   K  one /dev/kmsg record as read
 *   k  a continuation field of the record before
 *   W  "directory file line": a memcg file of a directory right below the root, when asked. Counters of memory.events
 *      are those of all that was ever below that directory, so they outlive a container (cgroup v2).
 *   C  a JSON object: its own events
 *
 * SIGUSR2 asks for a mark: a line in the kernel log, everything up to it, the memcg files, and a C line with its number.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CGROUPFS "/host/cgroup"
#define MARK_DEADLINE_MS 10000
#define DRAIN_MS 100

static const char *token = "";
static char root[4096];
static int kmsg_fd = -1;
static int stopping, asked;

static void die(const char *what)
{
	printf("C {\"event\":\"error\",\"what\":\"%s\",\"reason\":\"%s\"}\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Prints what the kernel log has, up to a record with `until` in its text; returns whether that came. A log that is written
   faster than it is read has no end: no more is read after `deadline`, of now_ms(). */
static int drain(const char *until, int64_t deadline)
{
	char record[8192 + 1];
	int found = 0;
	while (!found) {
		ssize_t n = read(kmsg_fd, record, sizeof record - 1);
		if (n < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: records were overwritten; the numbers tell how many */
			n = 0;
		else if (n <= 0)
			break;
		record[n] = 0;
		char channel = 'K';
		for (char *line = strtok(record, "\n"); line; line = strtok(NULL, "\n")) {
			printf("%c %s\n", channel, line);
			if (channel == 'K' && until && strstr(line, until))
				found = 1;
			channel = 'k';
		}
		if (now_ms() >= deadline)
			break;
	}
	return found;
}

static void print_file(const char *directory, const char *name)
{
	char path[4096 + 512], line[512];
	snprintf(path, sizeof path, "%s/%s/%s", root, directory, name);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		printf("W %s %s %s\n", directory, name, line);
	}
	if (file)
		fclose(file);
}

static void each_directory(const char *parent, void (*call)(const char *))
{
	DIR *entries = opendir(parent);
	for (struct dirent *entry; entries && (entry = readdir(entries));)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			call(entry->d_name);
	if (entries)
		closedir(entries);
}

static void print_counters(const char *directory)
{
	print_file(directory, "memory.events");
	print_file(directory, "memory.peak");
}

static void mark(void)
{
	static int number;
	char text[160];
	asked = 0;
	number++;
	snprintf(text, sizeof text, "oomtrial: %s mark %d\n", token, number);
	/* The kernel takes ten lines in five seconds from each open file, and drops the rest: each mark has its own. */
	int fd = open("/dev/kmsg", O_WRONLY), written = fd >= 0 && write(fd, text, strlen(text)) > 0, found = 0;
	if (fd >= 0)
		close(fd);
	text[strcspn(text, "\n")] = 0;
	for (int64_t deadline = now_ms() + MARK_DEADLINE_MS; written && !(found = drain(text, deadline)) && now_ms() < deadline;)
		usleep(2000);
	if (!written)
		drain(NULL, now_ms() + DRAIN_MS);
	each_directory(root, print_counters);
	printf("C {\"event\":\"mark\",\"number\":%d,\"complete\":%s}\n", number, found ? "true" : "false");
	fflush(stdout);
}

static const char *below = "", *hierarchy = "";

static void remove_directory(const char *directory)
{
	char path[4096 + 512];
	snprintf(path, sizeof path, CGROUPFS "%s%s/%s/%s", hierarchy[0] ? "/" : "", hierarchy, below, directory);
	rmdir(path);
}

/* What the engine made above its containers, in a hierarchy of v1 (or the only one); a directory in use stays. */
static void clean(const char *name)
{
	char path[4096 + 512];
	hierarchy = name;
	snprintf(path, sizeof path, CGROUPFS "%s%s/%s", name[0] ? "/" : "", name, below);
	each_directory(path, remove_directory);
	rmdir(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
}

int main(int argc, char **argv)
{
	static char out[1 << 16];
	struct stat status;
	setvbuf(stdout, out, _IOFBF, sizeof out);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--token"))
			token = argv[i + 1];
		else if (!strcmp(argv[i], "--root"))
			below = argv[i + 1];
	}
	if (!token[0] || !below[0])
		die("usage: watcher --token TEXT --root CGROUP");
	int v1 = !stat(CGROUPFS "/memory/memory.limit_in_bytes", &status) || !stat(CGROUPFS "/memory/memory.oom_control", &status);
	snprintf(root, sizeof root, CGROUPFS "%s/%s", v1 ? "/memory" : "", below);

	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR2);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	/* ppoll() lets no signal through while there is something to read, which in a flood is always */
	int signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0)
		die("cannot wait for signals");

	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	/* Where dmesg_restrict is set, it opens and does not read. */
	if (kmsg_fd < 0 || lseek(kmsg_fd, 0, SEEK_END) < 0)
		die("cannot read /dev/kmsg");
	printf("C {\"event\":\"ready\",\"v1\":%s}\n", v1 ? "true" : "false");
	fflush(stdout);
	while (!stopping) {
		struct pollfd fds[2] = { { signals, POLLIN, 0 }, { kmsg_fd, POLLIN, 0 } };
		struct signalfd_siginfo info;
		poll(fds, 2, -1);
		while (read(signals, &info, sizeof info) == sizeof info) {
			asked |= info.ssi_signo == SIGUSR2;
			stopping |= info.ssi_signo != SIGUSR2;
		}
		if (asked) {
			mark();
		} else {
			drain(NULL, now_ms() + DRAIN_MS);
			fflush(stdout);
		}
	}
	if (v1)
		each_directory(CGROUPFS, clean);
	else
		clean("");
	return 0;
}
