// SPDX-License-Identifier: Apache-2.0
/*
 * The shipped collector with a clock beside it, for benchmarks/collectors.py: its sources as they are, its calls into the C
 * library led through here. Rounds take turns of TURN rounds in one mode, each of which leaves something out; the guest,
 * its boot and its containers stay the same. For each round it adds a line to what the collector writes:
 *
 *   C {"event":"cost","round":N,...}
 *
 * What this file does itself (reading cpu.stat, changing the mode) is taken off the collector's figures.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static ssize_t timed_recvmsg(int fd, struct msghdr *message, int flags);
static ssize_t timed_send(int fd, const void *text, size_t size, int flags);
static ssize_t chosen_read(int fd, void *text, size_t size);
static FILE *chosen_fopen(const char *path, const char *how);

#define recvmsg timed_recvmsg
#define send timed_send
#define read chosen_read
#define fopen chosen_fopen
#include "../workloads/collector/common.c"
#include "../workloads/collector/kmsg.c"
#include "../workloads/collector/limits.c"
#include "../workloads/collector/machine.c"
#include "../workloads/collector/memcg.c"
#include "../workloads/collector/requests.c"
#include "../workloads/collector/restore.c"
#include "../workloads/collector/swap.c"
#include "../workloads/collector/trace.c"
#include "../workloads/collector/main.c"
#undef recvmsg
#undef send
#undef read
#undef fopen

/* In the order of benchmarks/collectors.py. */
static const struct mode {
	int probes, trace, kmsg, memcg; /* what is recorded or read */
} modes[] = {
	{ ALL_PROBES, 1, 1, 1 }, /* everything */
	{ KILL_PROBES, 1, 1, 1 }, /* --probes kills */
	{ NO_PROBES, 1, 1, 1 }, /* --probes none */
	{ ALL_PROBES, 0, 1, 1 },
	{ ALL_PROBES, 1, 0, 1 },
	{ ALL_PROBES, 1, 1, 0 },
	{ NO_PROBES, 0, 0, 0 },
};

enum request { BEGIN, ARMED, END, CLEAN, OTHER };
static const char *const names[] = { "begin", "armed", "end", "clean" };

/* CPU time in microseconds: of the container under test, of the engine's processes. */
struct reading {
	long long workload, engine;
};

static const struct mode *mode = modes;
static enum request request_now = OTHER;
static int round_now, own_work, marker_given;
static struct reading at_begin, at_start, at_end;
/* In microseconds, CPU time of this process: by request (gap: since the reply to the one before); what is not the
   collector's; when the round and the request began. */
static long long cpu[OTHER], wall[OTHER], gap[OTHER], replied, cpu_off, wall_off, cpu_at_begin, wall_at_begin, cpu_then, wall_then;

static long long us_of(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static struct reading take_reading(void)
{
	return (struct reading){ number_in(memcg_dir, "cpu.stat", "usage_usec"), number_in(CGROUPFS "/engine", "cpu.stat", "usage_usec") };
}

/* What the mode before left in the kernel's buffers goes unread. */
static void enter_mode(const struct mode *next)
{
	char path[512];
	if (!mode->kmsg)
		lseek(kmsg_fd, 0, SEEK_END);
	if (!mode->trace) {
		snprintf(path, sizeof path, "%s/trace", instance);
		close(open(path, O_WRONLY | O_TRUNC));
	}
	if (mode->probes != next->probes) {
		in_instance("events/enable", "0");
		for (size_t i = 0; i < N_KPROBES; i++) {
			snprintf(path, sizeof path, "oomtrial_%s/%s", collector_name, kprobes[i].event);
			if (kprobes[i].level <= next->probes)
				enable_event(path);
		}
		if (next->probes != NO_PROBES) {
			enable_event("sched/sched_process_exit");
			enable_event("oom");
		}
	}
	mode = next;
}

static void begin_round(int round)
{
	struct reading now = take_reading();
	if (round_now)
		emit("C {\"event\":\"cost\",\"round\":%d,\"mode\":%d,\"wall_us\":%lld,\"workload_us\":%lld,\"workload_in_round_us\":%lld,"
		     "\"engine_us\":%lld,\"engine_in_round_us\":%lld,\"collector_us\":%lld,\"begin_us\":%lld,\"armed_us\":%lld,\"end_us\":%lld,"
		     "\"clean_us\":%lld,\"begin_wall_us\":%lld,\"armed_wall_us\":%lld,\"end_wall_us\":%lld,\"clean_wall_us\":%lld,"
		     "\"fork_wall_us\":%lld,\"reap_wall_us\":%lld}",
		     round_now, (int)(mode - modes), wall_then - wall_off - wall_at_begin, now.workload - at_begin.workload,
		     at_end.workload - at_start.workload, now.engine - at_begin.engine, at_end.engine - at_start.engine,
		     cpu_then - cpu_off - cpu_at_begin, cpu[BEGIN], cpu[ARMED], cpu[END], cpu[CLEAN], wall[BEGIN], wall[ARMED], wall[END], wall[CLEAN],
		     gap[ARMED], gap[CLEAN]);
	round_now = round;
	cpu_at_begin = cpu_then - cpu_off;
	wall_at_begin = wall_then - wall_off;
	enter_mode(&modes[(round - 1) / TURN % (sizeof modes / sizeof *modes)]);
	marker_given = 0;
	at_begin = take_reading();
}

static void note_time(void)
{
	cpu_then = us_of(CLOCK_PROCESS_CPUTIME_ID);
	wall_then = us_of(CLOCK_MONOTONIC);
}

/* From the last note_time() on it was this file that worked. */
static void take_off(void)
{
	cpu_off -= cpu_then;
	wall_off -= wall_then;
	note_time();
	cpu_off += cpu_then;
	wall_off += wall_then;
}

static ssize_t timed_recvmsg(int fd, struct msghdr *message, int flags)
{
	char text[64] = "", name[16];
	int round = 0;
	ssize_t n = recvmsg(fd, message, flags);
	note_time();
	if (n > 0)
		memcpy(text, message->msg_iov->iov_base, n < (ssize_t)sizeof text ? n : (ssize_t)sizeof text - 1);
	request_now = OTHER;
	/* round 0 is the calibration */
	if (sscanf(text, "%15s %d", name, &round) == 2 && round > 0)
		for (int i = 0; i < OTHER; i++)
			if (!strcmp(name, names[i]))
				request_now = i;
	if (request_now != OTHER)
		gap[request_now] = wall_then - replied;
	own_work = 1;
	if (request_now == BEGIN)
		begin_round(round);
	else if (request_now == END)
		at_end = take_reading();
	own_work = 0;
	take_off();
	return n;
}

static ssize_t timed_send(int fd, const void *text, size_t size, int flags)
{
	long long cpu_before = cpu_then, wall_before = wall_then;
	note_time();
	if (request_now != OTHER) {
		cpu[request_now] = cpu_then - cpu_before;
		wall[request_now] = wall_then - wall_before;
	}
	own_work = 1;
	if (request_now == ARMED)
		at_start = take_reading();
	own_work = 0;
	take_off();
	replied = wall_then;
	return send(fd, text, size, flags);
}

static ssize_t chosen_read(int fd, void *text, size_t size)
{
	if (fd >= 0 && fd == kmsg_fd && !mode->kmsg && request_now == END && !marker_given) {
		marker_given = 1; /* it waits for this one */
		return snprintf(text, size, "6,0,0,-;oomtrial: %s round %d end\n", token, round_now);
	}
	if (fd >= 0 && ((fd == kmsg_fd && !mode->kmsg) || (fd == trace_fd && !mode->trace))) {
		errno = EAGAIN;
		return -1;
	}
	return read(fd, text, size);
}

static FILE *chosen_fopen(const char *path, const char *how)
{
	int is_snapshot = (request_now == ARMED || request_now == END) && !strncmp(path, CGROUPFS, strlen(CGROUPFS));
	if (!own_work && is_snapshot && !mode->memcg)
		return fopen("/dev/null", how);
	if (!own_work && !mode->trace && !strncmp(path, TRACEFS, strlen(TRACEFS)))
		return NULL;
	return fopen(path, how);
}
