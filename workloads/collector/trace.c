// SPDX-License-Identifier: Apache-2.0
/*
 * The trace is a private tracefs instance. Its probes, of which `--probes kills` takes those that classify a kill:
 *   oom:* and sched:sched_process_exit
 *   kprobe at the entry of out_of_memory(): the time of a decision, never rate-limited
 *   kretprobe at the return of exit_mmap(): the release, all pages freed and uncharged; on a kernel without kprobe events
 *   the tracepoint mmap:exit_mmap (6.1 and later) at its end stands in
 * and, with `all`, those that tell why it was made:
 *   kretprobe at the return of mem_cgroup_scan_tasks(): the first one after the entry is the choice of the victim, later
 *   ones are the report's task table and the group's kill. select_bad_process() and oom_kill_process() are often inlined
 *   kretprobe at the return of out_of_memory()
 *   kprobe at the entry of exit_mmap(): whether a victim that was reaped had begun to tear down its mm by itself
 * A kernel without tracefs has no trace; kernel log and memcg files are read all the same.
 */
#include "collector.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* From include/linux/oom.h, 4.9 to 7.3: struct oom_control { zonelist; nodemask; memcg; gfp_mask; order; ... } */
#define OOM_ENTRY_ARGS "memcg=+16(%di):x64 gfp_mask=+24(%di):x32 order=+28(%di):s32"

static char collector_name[33], instance[128];
static int marker_fd = -1, trace_fd = -1;
static enum probes probes = ALL_PROBES;

static int in_instance(const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", instance, name);
	return write_file(path, text);
}

static void enable_event(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "events/%s/enable", name);
	if (in_instance(path, "1"))
		emit("C {\"event\":\"probe_missing\",\"probe\":\"%s\",\"errno\":%d}", name, errno);
	else
		emit("C {\"event\":\"probe\",\"probe\":\"%s\"}", name);
}

/*
 * The number behind r is how many calls may be under way at a time; one more is missed, and counted. out_of_memory() runs
 * under oom_lock, and only it calls mem_cgroup_scan_tasks(): one call each.
 */
static const struct kprobe {
	const char *type, *event, *function, *arguments;
	int level;
	const char *stand_in; /* a tracepoint */
} kprobes[] = {
	{ "p", "oom_entry", "out_of_memory", OOM_ENTRY_ARGS, KILL_PROBES, NULL },
	{ "r64", "mm_release", "exit_mmap", "", KILL_PROBES, "mmap/exit_mmap" },
	{ "r8", "scan_end", "mem_cgroup_scan_tasks", "", ALL_PROBES, NULL },
	{ "r8", "oom_return", "out_of_memory", "", ALL_PROBES, NULL },
	{ "p", "mm_exit", "exit_mmap", "", ALL_PROBES, NULL },
};
#define N_KPROBES (sizeof kprobes / sizeof *kprobes)

static void enable_kprobe(const struct kprobe *probe)
{
	char text[256];
	snprintf(text, sizeof text, "%s:oomtrial_%s/%s %s %s\n", probe->type, collector_name, probe->event, probe->function, probe->arguments);
	if (!write_file(TRACEFS "/kprobe_events", text)) {
		snprintf(text, sizeof text, "oomtrial_%s/%s", collector_name, probe->event);
		enable_event(text);
		return;
	}
	emit("C {\"event\":\"probe_missing\",\"probe\":\"%.*s\",\"errno\":%d}", (int)strcspn(text, "\n"), text, errno);
	if (probe->stand_in)
		enable_event(probe->stand_in);
}

void open_trace(const char *collector, enum probes wanted, const char *buffer_kb)
{
	char text[256];

	probes = wanted;
	snprintf(collector_name, sizeof collector_name, "%s", collector);
	mkdir(TRACEFS, 0700);
	if (mount("tracefs", TRACEFS, "tracefs", 0, NULL) && errno != EBUSY) {
		emit("C {\"event\":\"probe_missing\",\"probe\":\"all\",\"errno\":%d}", errno);
		return;
	}
	snprintf(instance, sizeof instance, TRACEFS "/instances/oomtrial-%s", collector_name);
	if (mkdir(instance, 0700) && errno != EEXIST) { /* a kernel that is locked down */
		emit("C {\"event\":\"probe_missing\",\"probe\":\"all\",\"errno\":%d}", errno);
		instance[0] = 0;
		return;
	}
	in_instance("tracing_on", "0");
	/* One clock for all CPUs: the order of a decision and a release is what is measured. */
	if (in_instance("trace_clock", "mono"))
		die("no mono trace clock");
	if (in_instance("buffer_size_kb", buffer_kb))
		die("cannot size the trace buffer");
	/* A full buffer keeps what it has; the loss is counted per CPU. */
	in_instance("options/overwrite", "0");
	in_instance("options/record-tgid", "1");
	if (probes == NO_PROBES)
		emit("C {\"event\":\"probe_missing\",\"probe\":\"all\",\"errno\":0}");
	for (size_t i = 0; i < N_KPROBES; i++)
		if (kprobes[i].level <= (int)probes)
			enable_kprobe(&kprobes[i]);
	if (probes != NO_PROBES) {
		enable_event("sched/sched_process_exit");
		enable_event("oom");
	}
	snprintf(text, sizeof text, "%s/trace_marker", instance);
	marker_fd = open(text, O_WRONLY);
	snprintf(text, sizeof text, "%s/trace_pipe", instance);
	trace_fd = open(text, O_RDONLY | O_NONBLOCK);
	if (marker_fd < 0 || trace_fd < 0)
		die("cannot open the trace instance");
}

int start_trace(void)
{
	return trace_fd < 0 || !in_instance("tracing_on", "1");
}

void stop_trace(void)
{
	in_instance("tracing_on", "0");
}

void mark_trace(int round, const char *text, size_t size)
{
	if (trace_fd >= 0 && write(marker_fd, text, size) < 0)
		emit("C {\"event\":\"marker_failed\",\"where\":\"trace\",\"round\":%d,\"errno\":%d}", round, errno);
}

void close_trace(void)
{
	char text[256];
	if (!instance[0])
		return;
	stop_trace();
	in_instance("events/enable", "0");
	close(marker_fd);
	close(trace_fd);
	rmdir(instance);
	for (size_t i = 0; i < N_KPROBES; i++) {
		snprintf(text, sizeof text, "-:oomtrial_%s/%s\n", collector_name, kprobes[i].event);
		write_file(TRACEFS "/kprobe_events", text);
	}
}

/* Lines come whole from trace_pipe, but a read may end within one. */
void drain_trace(void)
{
	static char buffer[65536 + 1];
	size_t have = 0;
	while (trace_fd >= 0) {
		ssize_t n = read(trace_fd, buffer + have, 65536 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += n;
		char *line = buffer, *end;
		while ((end = memchr(line, '\n', have - (line - buffer)))) {
			*end = 0;
			emit("T %s", line);
			line = end + 1;
		}
		have -= line - buffer;
		memmove(buffer, line, have);
		if (have == 65536)
			have = 0;
	}
}

/* Calls that our kprobes missed. kprobe_profile has no group; it has a line for each line of kprobe_events, in the same order
   (kernel/trace/trace_kprobe.c). Probes of other programs and of other collectors are left out. */
static unsigned long missed_probes(void)
{
	char group[64], definition[512], line[512], event[128], name[128];
	unsigned long missed = 0, hits, misses;
	snprintf(group, sizeof group, ":oomtrial_%s/", collector_name);
	FILE *events = fopen(TRACEFS "/kprobe_events", "re"), *profile = fopen(TRACEFS "/kprobe_profile", "re");
	while (events && profile && fgets(line, sizeof line, profile) && fgets(definition, sizeof definition, events)) {
		const char *ours = strstr(definition, group);
		if (!ours || sscanf(ours + strlen(group), "%127s", event) != 1)
			continue;
		if (sscanf(line, "%127s %lu %lu", name, &hits, &misses) == 3 && !strcmp(name, event))
			missed += misses;
		else
			emit("C {\"event\":\"error\",\"what\":\"kprobe_profile changed while it was read\",\"errno\":0}");
	}
	if (events)
		fclose(events);
	if (profile)
		fclose(profile);
	return missed;
}

/* Losses: events that did not fit in a CPU's buffer, kretprobes without a free instance. */
void report_losses(int round)
{
	char path[512], line[512];
	unsigned long lost = 0, value;
	/* as the kernel lists them: sysconf() knows those only that this process may run on */
	snprintf(path, sizeof path, "%s/per_cpu", instance);
	DIR *cpus = instance[0] ? opendir(path) : NULL;
	for (struct dirent *entry; cpus && (entry = readdir(cpus));) {
		if (strncmp(entry->d_name, "cpu", 3))
			continue;
		snprintf(path, sizeof path, "%s/per_cpu/%.32s/stats", instance, entry->d_name);
		FILE *file = fopen(path, "re");
		while (file && fgets(line, sizeof line, file)) {
			if (sscanf(line, "overrun: %lu", &value) == 1 || sscanf(line, "dropped events: %lu", &value) == 1 ||
			    sscanf(line, "commit overrun: %lu", &value) == 1)
				lost += value;
		}
		if (file)
			fclose(file);
	}
	if (cpus)
		closedir(cpus);
	emit("C {\"event\":\"trace_losses\",\"round\":%d,\"lost_events_total\":%lu,\"missed_probes_total\":%lu}", round, lost, missed_probes());
}
