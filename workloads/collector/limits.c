// SPDX-License-Identifier: Apache-2.0
/* Limits that a calibration lifts and sets back, and the usage that it measures. */
#include "collector.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIMITS 64

long long ooms_before;

static const char *dirname_of_container(void)
{
	static char directory[PATH_BYTES];
	directory_at(1, directory, sizeof directory);
	return directory;
}

static struct {
	char path[FILE_BYTES], value[32];
} limits[MAX_LIMITS];
static int n_limits;

static void lift_file(const char *directory, const char *name, const char *none)
{
	if (n_limits == MAX_LIMITS)
		return;
	snprintf(limits[n_limits].path, sizeof limits[0].path, "%s/%s", directory, name);
	FILE *file = fopen(limits[n_limits].path, "re");
	if (!file)
		return;
	if (fgets(limits[n_limits].value, sizeof limits[0].value, file) && !write_file(limits[n_limits].path, none))
		n_limits++;
	fclose(file);
}

static void lift_limit(const char *directory)
{
	if (v1) {
		/* memory with swap is never below memory: lifted first, and set back last */
		lift_file(directory, "memory.memsw.limit_in_bytes", "-1");
		lift_file(directory, "memory.limit_in_bytes", "-1");
	} else {
		lift_file(directory, "memory.max", "max");
	}
}

/* v1 does not count the charges that failed for good, only the kills that followed; nor does a machine that is the limit. */
long long count_ooms(void)
{
	long long ooms = v1 ? number_in(top_dir, "memory.oom_control", "oom_kill") : number_in(top_dir, "memory.events", "oom");
	long long kills = machine_bytes ? number_in("/proc", "vmstat", "oom_kill") : 0;
	return ooms + (kills > 0 ? kills : 0);
}

/* memory.max of everything under test: from the container up to the top, and of the containers beside it; and the ballast. */
int request_limit(const char *what)
{
	int ok = 1;
	if (!strcmp(what, "lift")) {
		char directory[FILE_BYTES];
		n_limits = 0;
		for (int level = 0; directory_at(level, directory, sizeof directory) && strlen(directory) >= strlen(top_dir); level++)
			lift_limit(directory);
		DIR *parent = strcmp(top_dir, memcg_dir) ? opendir(dirname_of_container()) : NULL;
		for (struct dirent *entry; parent && (entry = readdir(parent));) {
			snprintf(directory, sizeof directory, "%s/%s", dirname_of_container(), entry->d_name);
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && strcmp(directory, memcg_dir))
				lift_limit(directory);
		}
		if (parent)
			closedir(parent);
		if (machine_bytes)
			release_ballast();
		return n_limits > 0 || machine_bytes;
	}
	if (machine_bytes)
		ok = take_ballast();
	while (n_limits > 0) {
		n_limits--;
		ok &= !write_file(limits[n_limits].path, limits[n_limits].value);
	}
	return ok;
}

/* "container:ID", of one beside the container under test, or the number of a level. */
static int directory_of(const char *where, char *directory, size_t size)
{
	static const char container[] = "container:";
	char *end;
	if (!strncmp(where, container, strlen(container)))
		return directory_beside(where + strlen(container), directory, size);
	long level = strtol(where, &end, 10);
	return end != where && !*end && level >= 0 && level < 100 && directory_at((int)level, directory, size);
}

static int measure_machine(const char *name, char *reply, size_t size)
{
	long long ooms = count_ooms(), usage = machine_usage();
	if (!machine_bytes || usage == LLONG_MIN || ooms < 0)
		return 0;
	snprintf(reply, size, "ok %lld %lld", usage, ooms - ooms_before);
	emit("C {\"event\":\"measured\",\"set\":\"%s\",\"limit\":\"machine\",\"usage_bytes\":%lld,\"ooms\":%lld}", name, usage, ooms - ooms_before);
	return 1;
}

/* What the memcg needs: its usage without the page cache that could be had back, and what it has in swap. */
int request_measure(const char *name, const char *where, char *reply, size_t size)
{
	char directory[FILE_BYTES];
	if (!strcmp(where, "machine"))
		return measure_machine(name, reply, size);
	if (!directory_of(where, directory, sizeof directory))
		return 0;
	long long swap = number_in(directory, "memory.swap.current", NULL);
	long long cache = number_in(directory, "memory.stat", "inactive_file") + number_in(directory, "memory.stat", "active_file");
	long long ooms = count_ooms(), usage = number_in(directory, v1 ? "memory.usage_in_bytes" : "memory.current", NULL);
	if (usage < 0 || ooms < 0)
		return 0;
	long long needed = usage - (cache > 0 ? cache : 0) + (swap > 0 ? swap : 0);
	snprintf(reply, size, "ok %lld %lld", needed, ooms - ooms_before);
	emit("C {\"event\":\"measured\",\"set\":\"%s\",\"limit\":\"%s\",\"usage_bytes\":%lld,\"cache_bytes\":%lld,\"swap_bytes\":%lld,\"ooms\":%lld}", name, where, usage,
	     cache, swap, ooms - ooms_before);
	return 1;
}
