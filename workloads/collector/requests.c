// SPDX-License-Identifier: Apache-2.0
/* What the supervisor asks for, one request a packet: workloads/hog/supervise.c has the list. */
#include "collector.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int armed_hogs;
static long long baseline_bytes = -1;

static int request_hello(pid_t pid)
{
	if (!find_memcg(pid)) {
		emit("C {\"event\":\"no_memcg\",\"pid\":%d}", pid);
		return 0;
	}
	baseline_bytes = -1;
	forget_machine();
	emit("C {\"event\":\"hello\",\"pid\":%d,\"memcg\":\"%s\"}", pid, memcg_dir + strlen(CGROUPFS));
	return 1;
}

static int request_set(int level, const char *name, const char *value)
{
	static const char *const allowed[] = { "memory.max", "memory.high", "memory.swap.max", "memory.oom.group" };
	char path[FILE_BYTES], directory[PATH_BYTES];
	int ok = 0;
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
		ok |= !strcmp(name, allowed[i]);
	if (!ok || !directory_at(level, directory, sizeof directory))
		return 0;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	ok = !write_file(path, value);
	emit("C {\"event\":\"set\",\"level\":%d,\"file\":\"%s\",\"value\":\"%s\",\"errno\":%d}", level, name, value, ok ? 0 : errno);
	return ok;
}

static int request_top(int level)
{
	if (!directory_at(level, top_dir, sizeof top_dir))
		return 0;
	emit("C {\"event\":\"top\",\"memcg\":\"%s\"}", top_dir + strlen(CGROUPFS));
	static const char *const files[] = { "memory.max", "memory.high", "memory.swap.max", "memory.oom.group" };
	for (size_t i = 0; !v1 && i < sizeof files / sizeof *files; i++)
		memcg_file(0, "before", files[i]);
	if (v1) {
		memcg_file(0, "before", "memory.limit_in_bytes");
		memcg_file(0, "before", "memory.memsw.limit_in_bytes");
	}
	return memcg_usage() >= 0;
}

static int request_group(const char *container)
{
	int ok = write_beside(container, "memory.oom.group", "1");
	emit("C {\"event\":\"group\",\"container\":\"%s\",\"errno\":%d}", container, ok ? 0 : errno);
	return ok;
}

static int request_begin(int round)
{
	if (is_abandoned())
		return 0;
	drain_kmsg(NULL, now_ms() + DRAIN_MS);
	armed_hogs = 0;
	ooms_before = count_ooms();
	if (baseline_bytes < 0)
		baseline_bytes = memcg_usage();
	emit("C {\"event\":\"begin\",\"round\":%d,\"usage_bytes\":%lld}", round, memcg_usage());
	return 1;
}

static int request_armed(int round)
{
	emit("C {\"event\":\"armed\",\"round\":%d,\"hogs\":%d}", round, armed_hogs);
	snapshot(round, "before");
	/* Nothing is left to write by the time the round starts. */
	fflush(stdout);
	if (!start_trace())
		return 0;
	mark(round, "start");
	return 1;
}

static int request_end(int round)
{
	char until[160];
	mark(round, "end");
	stop_trace();
	snapshot(round, "after");
	snprintf(until, sizeof until, "oomtrial: %s round %d end", token, round);
	int found = 0;
	for (int64_t deadline = now_ms() + 10000; !(found = drain_kmsg(until, deadline)) && now_ms() < deadline;)
		usleep(5000);
	drain_trace();
	report_losses(round);
	emit("C {\"event\":\"end\",\"round\":%d,\"kmsg_complete\":%s}", round, found ? "true" : "false");
	return found;
}

/* Waits until usage is back at what the first round began with, give or take 1 MiB of per-CPU charge stocks. */
static int request_clean(int round)
{
	long long usage = -1, slack = 1 << 20;
	int64_t start = now_ms(), patience_ms = 500;
	int reclaims = 0;
	do {
		usage = memcg_usage();
		if (usage >= 0 && usage <= baseline_bytes + slack)
			break;
		if (usage >= 0 && now_ms() > start + patience_ms * (reclaims + 1)) {
			reclaim(usage - baseline_bytes);
			reclaims++;
		}
		usleep(2000);
	} while (now_ms() < start + 20000);
	int clean = usage >= 0 && usage <= baseline_bytes + slack;
	emit("C {\"event\":\"clean\",\"round\":%d,\"usage_bytes\":%lld,\"baseline_bytes\":%lld,\"clean\":%s,\"waited_ms\":%lld,\"reclaims\":%d}", round, usage,
	     baseline_bytes, clean ? "true" : "false", (long long)(now_ms() - start), reclaims);
	return clean;
}

void handle_request(int fd, const char *request, pid_t pid)
{
	int number = 0, ok;
	long long bytes;
	char reply[64] = "ok", name[128] = "", value[64];
	if (sscanf(request, "hog %d %127s", &number, name) >= 1) {
		if (name[0] && !move_to_container(pid, name))
			emit("C {\"event\":\"error\",\"what\":\"hog %d does not get into %s\",\"errno\":%d}", number, name, errno);
		else
			armed_hogs++;
		emit("C {\"event\":\"hog\",\"hog\":%d,\"pid\":%d}", number, pid);
		return;
	}
	if (sscanf(request, "child %d", &number) == 1) {
		emit("C {\"event\":\"child\",\"hog\":%d,\"pid\":%d}", number, pid);
		return;
	}
	if (sscanf(request, "hello %32s", token) == 1)
		ok = request_hello(pid);
	else if (sscanf(request, "set %d %127s %63s", &number, name, value) == 3)
		ok = request_set(number, name, value);
	else if (sscanf(request, "group %127s", name) == 1)
		ok = request_group(name);
	else if (sscanf(request, "top %d", &number) == 1)
		ok = request_top(number);
	else if (sscanf(request, "swap %lld", &bytes) == 1)
		ok = request_swap(bytes);
	else if (sscanf(request, "machine %lld", &bytes) == 1)
		ok = request_machine(bytes, reply, sizeof reply);
	else if (sscanf(request, "limit %63s", value) == 1)
		ok = request_limit(value);
	else if (sscanf(request, "measure %63s %127s", value, name) == 2)
		ok = request_measure(value, name, reply, sizeof reply);
	else if (sscanf(request, "begin %d", &number) == 1)
		ok = request_begin(number);
	else if (sscanf(request, "armed %d", &number) == 1)
		ok = request_armed(number);
	else if (sscanf(request, "end %d", &number) == 1)
		ok = request_end(number);
	else if (sscanf(request, "clean %d", &number) == 1)
		ok = request_clean(number);
	else
		ok = 0;
	if (strncmp(request, "armed", 5))
		fflush(stdout);
	send(fd, ok ? reply : "no", ok ? strlen(reply) : 2, MSG_NOSIGNAL);
}
