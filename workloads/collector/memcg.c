// SPDX-License-Identifier: Apache-2.0
/* The memcg of the container under test, and those around it: found, read, written. */
#include "collector.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char memcg_dir[PATH_BYTES], top_dir[PATH_BYTES];
int v1;

/* Prints each line of a file behind a prefix. */
static void copy_lines(const char *path, const char *prefix)
{
	char line[512];
	FILE *file = fopen(path, "re");
	if (!file) {
		emit("C {\"event\":\"unreadable\",\"path\":\"%s\",\"errno\":%d}", path, errno);
		return;
	}
	while (fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		emit("%s %s", prefix, line);
	}
	fclose(file);
}

void memcg_file(int round, const char *when, const char *name)
{
	char path[FILE_BYTES], prefix[128];
	snprintf(path, sizeof path, "%s/%s", top_dir, name);
	snprintf(prefix, sizeof prefix, "M %d %s %s", round, when, name);
	copy_lines(path, prefix);
}

void snapshot(int round, const char *when)
{
	static const char *const files[] = { "memory.events", "memory.current", "memory.stat", "memory.pressure", "memory.swap.current", "cpu.stat" };
	static const char *const files_v1[] = { "memory.oom_control", "memory.usage_in_bytes", "memory.stat", "memory.failcnt" };
	for (size_t i = 0; !v1 && i < sizeof files / sizeof *files; i++)
		memcg_file(round, when, files[i]);
	for (size_t i = 0; v1 && i < sizeof files_v1 / sizeof *files_v1; i++)
		memcg_file(round, when, files_v1[i]);
}

/* A number in a file, or behind a key in it; -1 when there is none. */
long long number_in(const char *directory, const char *name, const char *key)
{
	char path[FILE_BYTES], line[512];
	long long value = -1;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *file = fopen(path, "re");
	while (file && value < 0 && fgets(line, sizeof line, file)) {
		if (!key)
			value = line[0] >= '0' && line[0] <= '9' ? atoll(line) : -1;
		else if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ' ')
			value = atoll(line + strlen(key));
	}
	if (file)
		fclose(file);
	return value;
}

long long memcg_usage(void)
{
	return number_in(top_dir, v1 ? "memory.usage_in_bytes" : "memory.current", NULL);
}

/* The directory that many levels above a container's, if everything below it belongs to this run; else 0. */
int directory_at(int level, char *directory, size_t size)
{
	snprintf(directory, size, "%s", memcg_dir);
	for (int i = 0; i < level; i++) {
		char *slash = strrchr(directory, '/');
		if (!slash)
			return 0;
		*slash = 0;
	}
	/* the container's own, or one that was made for this trial */
	return level == 0 || !strncmp(directory, CGROUPFS OURS, strlen(CGROUPFS OURS));
}

/* The memcg of the process at the other end: its line "0::/path", or "N:memory:/path" on v1, in /proc/PID/cgroup. */
int find_memcg(pid_t pid)
{
	char path[64], line[4096];
	int found = 0;
	snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		const char *on_v1 = strstr(line, ":memory:/");
		if (on_v1 || (!strncmp(line, "0::/", 4) && !found)) {
			v1 = on_v1 != NULL;
			snprintf(memcg_dir, sizeof memcg_dir, CGROUPFS "%s%.*s", v1 ? "/memory" : "", 4000, v1 ? on_v1 + 8 : line + 3);
			memcpy(top_dir, memcg_dir, sizeof top_dir);
			found = memcg_usage() >= 0;
		}
	}
	if (file)
		fclose(file);
	return found;
}

/* The memcg of the container beside the one under test. */
int directory_beside(const char *container, char *directory, size_t size)
{
	const char *slash = strrchr(memcg_dir, '/');
	if (strchr(container, '/') || strncmp(memcg_dir, CGROUPFS OURS, strlen(CGROUPFS OURS)))
		return 0;
	snprintf(directory, size, "%.*s/%s", (int)(slash - memcg_dir), memcg_dir, container);
	return 1;
}

int write_beside(const char *container, const char *name, const char *value)
{
	char directory[FILE_BYTES], path[FILE_BYTES + 128];
	if (!directory_beside(container, directory, sizeof directory))
		return 0;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return !write_file(path, value);
}

int move_to_container(pid_t pid, const char *container)
{
	char text[16];
	snprintf(text, sizeof text, "%d", pid);
	return write_beside(container, "cgroup.procs", text);
}

/* memory.reclaim (5.19) takes pages of the swap cache that their owners left behind, which nothing else would do soon. */
void reclaim(long long bytes)
{
	char path[FILE_BYTES], text[32];
	snprintf(path, sizeof path, "%s/memory.reclaim", top_dir);
	snprintf(text, sizeof text, "%lld", bytes);
	write_file(path, text);
}
