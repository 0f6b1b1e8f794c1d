// SPDX-License-Identifier: Apache-2.0
/*
 * collector: what an oomtrial container sees of the kernel, as one stream of lines on stdout.
 *
 *   collector --socket PATH --name TEXT [--trace-kb N] [--probes all|kills|none] [--owner PID]
 *
 * It runs privileged, in the host's pid and cgroup namespaces, beside the container under test, and is quiet
 * during a round: trace and kernel log wait in the kernel's buffers until the round has ended.
 *
 * With --owner no round begins once that process of the host's is gone, and the collector ends.
 *
 * Each line has a channel letter, a blank and a payload:
 *   K  one /dev/kmsg record as read: "level,sequence,time_us,flags[,caller=...];text"
 *   k  a continuation field of the record before (" KEY=value")
 *   T  one line of the trace instance
 *   M  "round when file line": a line of a memcg file; when is before or after
 *   C  a JSON object: the collector's own events, losses among them
 * The trial's TOKEN comes with the supervisor's hello, or with its job. Rounds are marked in band, in the kernel log and in
 * the trace: "oomtrial: TOKEN round N start|end".
 *
 * SIGUSR1 says that the guest may have gone on from a snapshot: it then takes new random bytes from fw_cfg, the time from the
 * clock of the machine, and, for a supervisor that waits for one, the job: "TOKEN FIRST_ROUND ROUNDS CALIBRATE".
 *
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
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* From include/linux/oom.h, 4.9 to 7.3: struct oom_control { zonelist; nodemask; memcg; gfp_mask; order; ... } */
#define OOM_ENTRY_ARGS "memcg=+16(%di):x64 gfp_mask=+24(%di):x32 order=+28(%di):s32"
/* include/uapi/linux/random.h is not in musl's include path; these are ABI. */
#define RNDADDENTROPY 0x40085203
#define RNDRESEEDCRNG 0x5207
#define TRACEFS "/oomtrial-tracefs"
#define CGROUPFS "/host/cgroup"
#define OURS "/oomtrial/" /* the cgroup-parent of every container that has parents; harness/containers/running.py */
#define MAX_LIMITS 64

static char collector_name[33], token[33], instance[128];
static char memcg_dir[4096]; /* of the container under test */
static char top_dir[4096];   /* whose files are read: the same, or a parent of ours that holds more containers */
static const char *socket_path;
static int v1; /* the container's memory controller is on a hierarchy of cgroup v1 */
static int kmsg_fd = -1, marker_fd = -1, trace_fd = -1, armed_hogs;
static enum { NO_PROBES, KILL_PROBES, ALL_PROBES } probes = ALL_PROBES;
static long long baseline_bytes = -1;
static int stopping, restored;
static pid_t owner; /* who would end us; 0: nobody that we could see */

/* Signals are read like anything else that is waited for: one that came between a look at a flag and poll() would be lost. */
static int open_signals(void)
{
	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGUSR1);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void read_signals(int fd)
{
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGUSR1)
			restored = 1;
		else
			stopping = 1;
	}
}

static void emit(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

static void die(const char *what)
{
	emit("C {\"event\":\"error\",\"what\":\"%s\",\"errno\":%d,\"reason\":\"%s\"}", what, errno, strerror(errno));
	fflush(stdout);
	exit(1);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

static int in_instance(const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", instance, name);
	return write_file(path, text);
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* -- a guest that went on from a snapshot */

#define FW_CFG "/sys/firmware/qemu_fw_cfg/by_name/opt/org.oomtrial/"

static int add_entropy(void)
{
	struct {
		int entropy_count, size;
		unsigned char bytes[64];
	} pool = { 0 };
	int in = open(FW_CFG "seed/raw", O_RDONLY), out = open("/dev/urandom", O_WRONLY);
	ssize_t n = in < 0 ? -1 : read(in, pool.bytes, sizeof pool.bytes);
	int ok = 0;
	if (n > 0 && out >= 0) {
		pool.size = n;
		pool.entropy_count = 8 * n;
		/* RNDRESEEDCRNG: else the new bytes count only when the generator is reseeded by itself, minutes later */
		ok = !ioctl(out, RNDADDENTROPY, &pool) && !ioctl(out, RNDRESEEDCRNG);
	}
	close(in);
	close(out);
	return ok;
}

static int cmos(int index)
{
	outb(index, 0x70);
	return inb(0x71);
}

static int from_bcd(int value, int is_binary)
{
	return is_binary ? value : (value >> 4) * 10 + (value & 15);
}

/* The machine's clock (MC146818) goes on with the host's; ours stood still. Good to a second. */
static int set_clock(void)
{
	if (ioperm(0x70, 2, 1))
		return 0;
	struct tm now = { 0 };
	for (int again = -1; again != now.tm_sec;) {
		while (cmos(0x0a) & 0x80) /* being updated */
			;
		int binary = cmos(0x0b) & 4;
		now.tm_year = from_bcd(cmos(9), binary) + 100;
		now.tm_mon = from_bcd(cmos(8), binary) - 1;
		now.tm_mday = from_bcd(cmos(7), binary);
		now.tm_hour = from_bcd(cmos(4) & 0x7f, binary);
		now.tm_min = from_bcd(cmos(2), binary);
		now.tm_sec = from_bcd(cmos(0), binary);
		again = from_bcd(cmos(0), binary);
	}
	ioperm(0x70, 2, 0);
	struct timespec ts = { .tv_sec = timegm(&now) };
	return !clock_settime(CLOCK_REALTIME, &ts);
}

/* What the supervisor is to do; empty where nothing hands it over. */
static void read_job(char *job, size_t size)
{
	int fd = open(FW_CFG "job/raw", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, job, size - 1);
	close(fd);
	job[n > 0 ? n : 0] = 0;
	job[strcspn(job, "\n")] = 0;
}

/* `waiting`: the connection of a supervisor that asked for its job, or -1. */
static void after_restore(int waiting)
{
	char job[129], reply[136];
	restored = 0;
	/* The clock and the generator of a machine that is no guest of ours are none of our business. */
	int is_guest = !access(FW_CFG "job/raw", F_OK);
	int entropy = is_guest && add_entropy(), clock = is_guest && set_clock();
	read_job(job, sizeof job);
	char woken_for[33] = "";
	sscanf(job, "%32s", woken_for);
	emit("C {\"event\":\"restored\",\"entropy\":%s,\"clock\":%s,\"time_s\":%lld,\"token\":\"%s\"}", entropy ? "true" : "false",
	     clock ? "true" : "false", (long long)time(NULL), woken_for);
	fflush(stdout);
	if (waiting >= 0) {
		memcpy(token, woken_for, sizeof token);
		int n = snprintf(reply, sizeof reply, job[0] ? "ok %s" : "no", job);
		send(waiting, reply, n, MSG_NOSIGNAL);
	}
}

/* -- the trace instance */

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

static void open_trace(const char *buffer_kb)
{
	char text[256];

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

static void close_trace(void)
{
	char text[256];
	if (!instance[0])
		return;
	in_instance("tracing_on", "0");
	in_instance("events/enable", "0");
	close(marker_fd);
	close(trace_fd);
	rmdir(instance);
	for (size_t i = 0; i < N_KPROBES; i++) {
		snprintf(text, sizeof text, "-:oomtrial_%s/%s\n", collector_name, kprobes[i].event);
		write_file(TRACEFS "/kprobe_events", text);
	}
}

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

/* Lines come whole from trace_pipe, but a read may end within one. */
static void drain_trace(void)
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
   (kernel/trace/trace_kprobe.c). Probes of somebody else, and of another collector, are not ours. */
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
static void report_losses(int round)
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

/* -- the kernel log */

#define DRAIN_MS 2000

/* Reads what is there, up to a record with `until` in its text; returns whether that came. A log that is written faster than it
   is read has no end: no more is read after `deadline`, of now_ms(). */
static int drain_kmsg(const char *until, int64_t deadline)
{
	char record[8192 + 1];
	int found = 0;
	while (!found) {
		ssize_t n = read(kmsg_fd, record, sizeof record - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE) {
			/* the record to be read next was overwritten; the next read continues at the oldest one left */
			emit("C {\"event\":\"kmsg_overrun\"}");
			n = 0;
		} else if (n <= 0) {
			break;
		}
		record[n] = 0;
		char channel = 'K';
		for (char *line = strtok(record, "\n"); line; line = strtok(NULL, "\n")) {
			emit("%c %s", channel, line);
			if (channel == 'K' && until && strstr(line, until))
				found = 1;
			channel = 'k';
		}
		if (now_ms() >= deadline)
			break;
	}
	return found;
}

static void mark(int round, const char *what)
{
	char text[160];
	int n = snprintf(text, sizeof text, "oomtrial: %s round %d %s\n", token, round, what);
	/* Unless it boots with printk.devkmsg=on the kernel takes ten lines in five seconds from each open file, and drops the
	   rest without a word: each mark has a file of its own. */
	if (write_file("/dev/kmsg", text))
		emit("C {\"event\":\"marker_failed\",\"where\":\"kmsg\",\"round\":%d,\"errno\":%d}", round, errno);
	if (trace_fd >= 0 && write(marker_fd, text, n - 1) < 0)
		emit("C {\"event\":\"marker_failed\",\"where\":\"trace\",\"round\":%d,\"errno\":%d}", round, errno);
}

/* -- the memcg */

static void memcg_file(int round, const char *when, const char *name)
{
	char path[4352], prefix[128];
	snprintf(path, sizeof path, "%s/%s", top_dir, name);
	snprintf(prefix, sizeof prefix, "M %d %s %s", round, when, name);
	copy_lines(path, prefix);
}

static void snapshot(int round, const char *when)
{
	static const char *const files[] = { "memory.events", "memory.current", "memory.stat", "memory.pressure", "memory.swap.current", "cpu.stat" };
	static const char *const files_v1[] = { "memory.oom_control", "memory.usage_in_bytes", "memory.stat", "memory.failcnt" };
	for (size_t i = 0; !v1 && i < sizeof files / sizeof *files; i++)
		memcg_file(round, when, files[i]);
	for (size_t i = 0; v1 && i < sizeof files_v1 / sizeof *files_v1; i++)
		memcg_file(round, when, files_v1[i]);
}

/* A number in a file, or behind a key in it; -1 when there is none. */
static long long number_in(const char *directory, const char *name, const char *key)
{
	char path[4352], line[512];
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

static long long memcg_usage(void)
{
	return number_in(top_dir, v1 ? "memory.usage_in_bytes" : "memory.current", NULL);
}

/* The directory that many levels above a container's, below which all is ours; 0 when it is not. */
static int directory_at(int level, char *directory, size_t size)
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
static int find_memcg(pid_t pid)
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

/* -- the machine as a limit: a ballast takes what the hogs are not to have */

#define BALLAST_STEP (64ll << 20)
#define BALLAST_NEAR (1ll << 20) /* the kernel counts free pages per CPU */
static pid_t ballast;            /* the process that holds it; 0: none */
static long long machine_bytes;  /* what the hogs have; 0: other limits hold them */
static long long machine_before; /* available before any hog grew */

static long long available_bytes(void)
{
	long long kb = number_in("/proc", "meminfo", "MemAvailable:");
	return kb < 0 ? -1 : kb * 1024;
}

/* Page cache that nobody needs is no measure of what is free. */
static void drop_page_cache(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
}

/* Takes memory until so much is available, says so, and holds it. Huge pages: it takes a second, not ten. */
static void hold_ballast(long long leave, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ballast");
	if (write_file("/proc/self/oom_score_adj", "-1000"))
		_exit(1);
	for (long long spare; (spare = available_bytes() - leave) > BALLAST_NEAR;) {
		size_t some = (size_t)(spare < BALLAST_STEP ? spare : BALLAST_STEP) & ~4095ul;
		char *memory = mmap(NULL, some, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			_exit(1);
		madvise(memory, some, MADV_HUGEPAGE);
		memset(memory, 1, some);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void release_ballast(void)
{
	if (ballast > 0) {
		kill(ballast, SIGKILL);
		while (waitpid(ballast, NULL, 0) < 0 && errno == EINTR)
			;
	}
	ballast = 0;
	machine_before = available_bytes();
}

static int take_ballast(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return 0;
	ballast = fork();
	if (ballast == 0)
		hold_ballast(machine_bytes, ends[1]);
	close(ends[1]);
	struct pollfd fd = { ends[0], POLLIN, 0 };
	char byte;
	int ok = ballast > 0 && poll(&fd, 1, 60000) > 0 && read(ends[0], &byte, 1) == 1; /* end of file: it is dead */
	close(ends[0]);
	if (!ok)
		release_ballast();
	machine_before = available_bytes();
	return ok;
}

/* -- requests */

static int request_hello(pid_t pid)
{
	if (!find_memcg(pid)) {
		emit("C {\"event\":\"no_memcg\",\"pid\":%d}", pid);
		return 0;
	}
	baseline_bytes = -1;
	machine_bytes = 0;
	release_ballast();
	emit("C {\"event\":\"hello\",\"pid\":%d,\"memcg\":\"%s\"}", pid, memcg_dir + strlen(CGROUPFS));
	return 1;
}

static int request_set(int level, const char *name, const char *value)
{
	static const char *const allowed[] = { "memory.max", "memory.high", "memory.swap.max", "memory.oom.group" };
	char path[4352], directory[4096];
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

/* The memcg of the container beside the one under test. */
static int directory_beside(const char *container, char *directory, size_t size)
{
	const char *slash = strrchr(memcg_dir, '/');
	if (strchr(container, '/') || strncmp(memcg_dir, CGROUPFS OURS, strlen(CGROUPFS OURS)))
		return 0;
	snprintf(directory, size, "%.*s/%s", (int)(slash - memcg_dir), memcg_dir, container);
	return 1;
}

static int write_beside(const char *container, const char *name, const char *value)
{
	char directory[4096 + 256], path[4500];
	if (!directory_beside(container, directory, sizeof directory))
		return 0;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return !write_file(path, value);
}

static int move_to_container(pid_t pid, const char *container)
{
	char text[16];
	snprintf(text, sizeof text, "%d", pid);
	return write_beside(container, "cgroup.procs", text);
}

static int request_group(const char *container)
{
	int ok = write_beside(container, "memory.oom.group", "1");
	emit("C {\"event\":\"group\",\"container\":\"%s\",\"errno\":%d}", container, ok ? 0 : errno);
	return ok;
}

/* -- swap: the first zram device, with the header that mkswap writes (include/linux/swap.h, union swap_header) */

static int set_zram(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof path, "/sys/block/zram0/%s", name);
	return write_file(path, value);
}

static int request_swap(long long bytes)
{
	static uint32_t header[1024]; /* a page */
	char text[32];
	swapoff("/dev/zram0");
	snprintf(text, sizeof text, "%lld", bytes);
	if (set_zram("reset", "1") || set_zram("disksize", text))
		return 0;
	header[256] = 1; /* version */
	header[257] = (uint32_t)(bytes / 4096 - 1); /* last page */
	memcpy((char *)header + 4096 - 10, "SWAPSPACE2", 10);
	int fd = open("/dev/zram0", O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 && write(fd, header, sizeof header) == sizeof header && !fsync(fd);
	close(fd);
	ok = ok && !swapon("/dev/zram0", 0);
	emit("C {\"event\":\"swap\",\"bytes\":%lld,\"errno\":%d}", bytes, ok ? 0 : errno);
	return ok;
}

/* "ok" and what was available before; a machine that has less than it is asked for gets no ballast. */
static int request_machine(long long bytes, char *reply, size_t size)
{
	release_ballast();
	drop_page_cache();
	long long available = available_bytes();
	machine_bytes = bytes;
	if (available < 0 || (available >= bytes && !take_ballast()))
		return 0;
	emit("C {\"event\":\"machine\",\"wanted_bytes\":%lld,\"available_bytes\":%lld,\"left_bytes\":%lld}", bytes, available, machine_before);
	snprintf(reply, size, "ok %lld", available);
	return 1;
}

/* -- calibration */

static long long ooms_before; /* memory.events oom, and kills of a machine that is the limit, when the calibration began */

static const char *dirname_of_container(void)
{
	static char directory[4096];
	directory_at(1, directory, sizeof directory);
	return directory;
}

static struct {
	char path[4352], value[32];
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

/* v1 does not count the charges that failed for good, only the kills that followed. */
static long long count_ooms(void)
{
	long long ooms = v1 ? number_in(top_dir, "memory.oom_control", "oom_kill") : number_in(top_dir, "memory.events", "oom");
	long long kills = machine_bytes ? number_in("/proc", "vmstat", "oom_kill") : 0;
	return ooms + (kills > 0 ? kills : 0);
}

/* memory.max of everything under test: from the container up to the top, and of the containers beside it; and the ballast. */
static int request_limit(const char *what)
{
	int ok = 1;
	if (!strcmp(what, "lift")) {
		char directory[4096 + 256];
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

/* What the hogs have taken of the machine: the kernel's own, page tables and slab, is in it. */
static int measure_machine(const char *name, char *reply, size_t size)
{
	long long ooms = count_ooms(), available = available_bytes();
	if (!machine_bytes || available < 0 || ooms < 0)
		return 0;
	snprintf(reply, size, "ok %lld %lld", machine_before - available, ooms - ooms_before);
	emit("C {\"event\":\"measured\",\"set\":\"%s\",\"limit\":\"machine\",\"usage_bytes\":%lld,\"ooms\":%lld}", name, machine_before - available,
	     ooms - ooms_before);
	return 1;
}

/* What the memcg needs: its usage without the page cache that could be had back, and what it has in swap. */
static int request_measure(const char *name, const char *where, char *reply, size_t size)
{
	char directory[4096 + 256];
	if (!strcmp(where, "machine"))
		return measure_machine(name, reply, size);
	if (strlen(where) < 3 ? !directory_at(atoi(where), directory, sizeof directory) : !directory_beside(where, directory, sizeof directory))
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

static int is_abandoned(void)
{
	return owner && kill(owner, 0) && errno == ESRCH;
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
	if (trace_fd >= 0 && in_instance("tracing_on", "1"))
		return 0;
	mark(round, "start");
	return 1;
}

static int request_end(int round)
{
	char until[160];
	mark(round, "end");
	in_instance("tracing_on", "0");
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

/* memory.reclaim (5.19) takes pages of the swap cache that their owners left behind, which nothing else would do soon. */
static void reclaim(long long bytes)
{
	char path[4352], text[32];
	snprintf(path, sizeof path, "%s/memory.reclaim", top_dir);
	snprintf(text, sizeof text, "%lld", bytes);
	write_file(path, text);
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

static void handle(int fd, const char *request, pid_t pid)
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

/* One packet and its sender's pid in our pid namespace. Returns 0 at end of file. */
static ssize_t receive(int fd, char *text, size_t size, pid_t *pid)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { text, size - 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &message, 0);
	if (n <= 0)
		return n;
	text[n] = 0;
	*pid = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
			*pid = ((struct ucred *)CMSG_DATA(header))->pid;
	return n;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int one = 1;
	if (strlen(path) >= sizeof address.sun_path)
		die("socket path too long");
	strcpy(address.sun_path, path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* accepted sockets inherit SO_PASSCRED, so even the first packet carries credentials */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) ||
	    bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8))
		die("cannot listen");
	chmod(path, 0666);
	return fd;
}

int main(int argc, char **argv)
{
	const char *buffer_kb = "4096";
	static char out[1 << 20];
	setvbuf(stdout, out, _IOFBF, sizeof out);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--socket"))
			socket_path = argv[i + 1];
		else if (!strcmp(argv[i], "--name"))
			snprintf(collector_name, sizeof collector_name, "%s", argv[i + 1]);
		else if (!strcmp(argv[i], "--trace-kb"))
			buffer_kb = argv[i + 1];
		else if (!strcmp(argv[i], "--probes"))
			probes = !strcmp(argv[i + 1], "none") ? NO_PROBES : !strcmp(argv[i + 1], "kills") ? KILL_PROBES : ALL_PROBES;
		else if (!strcmp(argv[i], "--owner"))
			owner = atoi(argv[i + 1]);
	}
	if (!socket_path || !collector_name[0])
		die("usage: collector --socket PATH --name TEXT");

	int signals = open_signals();
	if (signals < 0)
		die("cannot wait for signals");
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg_fd < 0 || lseek(kmsg_fd, 0, SEEK_END) < 0)
		die("cannot read /dev/kmsg");
	open_trace(buffer_kb);
	int listener = listen_at(socket_path);
	char boot_id[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, boot_id, sizeof boot_id - 1);
	close(fd);
	boot_id[length > 0 ? length - 1 : 0] = 0; /* without its newline */
	struct utsname kernel;
	uname(&kernel);
	emit("C {\"event\":\"ready\",\"boot_id\":\"%s\",\"release\":\"%s\"}", boot_id, kernel.release);
	fflush(stdout);

	int connection = -1, asked_for_job = 0;
	while (!stopping) {
		if (restored) {
			after_restore(asked_for_job ? connection : -1);
			asked_for_job = 0;
		}
		struct pollfd fds[3] = { { signals, POLLIN, 0 }, { listener, POLLIN, 0 }, { connection, POLLIN, 0 } };
		if (poll(fds, connection >= 0 ? 3 : 2, -1) < 0)
			continue;
		if (fds[0].revents) {
			read_signals(signals);
		} else if (connection >= 0 && fds[2].revents) {
			char request[256];
			pid_t pid;
			ssize_t n = receive(connection, request, sizeof request, &pid);
			if (n > 0 && !strcmp(request, "job")) {
				asked_for_job = 1; /* answered at the next SIGUSR1 */
			} else if (n > 0) {
				handle(connection, request, pid);
			} else if (n == 0 || errno != EINTR) {
				close(connection);
				connection = -1;
				asked_for_job = 0;
				machine_bytes = 0;
				release_ballast();
				in_instance("tracing_on", "0");
				drain_kmsg(NULL, now_ms() + DRAIN_MS);
				drain_trace();
				emit("C {\"event\":\"closed\"}");
				fflush(stdout);
				stopping |= is_abandoned();
			}
		} else if (fds[1].revents && connection < 0) {
			connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		}
	}
	drain_kmsg(NULL, now_ms() + DRAIN_MS);
	drain_trace();
	close_trace();
	unlink(socket_path);
	emit("C {\"event\":\"bye\"}");
	fflush(stdout);
	return 0;
}
