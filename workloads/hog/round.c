// SPDX-License-Identifier: Apache-2.0
/* A round: hogs are forked, grow phase by phase, answer the roll, and are ended and reported. */
#include "supervise.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct group groups[MAX_GROUPS];
int n_groups, n_hogs, n_phases;
static int no_children;
static size_t shared_bytes;

static void on_sigchld(int signal_number)
{
	(void)signal_number;
	atomic_fetch_add(&shared->events, 1);
}

static void reap(void)
{
	int status, saved = errno;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < n_hogs; i++) {
			if (book->hogs[i].pid == pid && !book->hogs[i].dead) {
				book->hogs[i].dead = 1;
				book->hogs[i].status = status;
				book->hogs[i].dead_ns = now_ns();
			}
		}
	}
	no_children = pid < 0 && errno == ECHILD;
	errno = saved;
}

static int in_state(int index, enum hog_state state)
{
	return book->hogs[index].dead || atomic_load(&shared->hog[index].state) >= state;
}

static int all_ready(int unused)
{
	(void)unused;
	for (int i = 0; i < n_hogs; i++)
		if (!in_state(i, HOG_READY))
			return 0;
	return 1;
}

static int phase_full(int phase)
{
	for (int i = 0; i < n_hogs; i++)
		if (book->hogs[i].group->phase <= phase && !in_state(i, HOG_FULL))
			return 0;
	return 1;
}

static int all_answered(int call)
{
	for (int i = 0; i < n_hogs; i++)
		if (!book->hogs[i].dead && atomic_load(&shared->hog[i].answered) < (uint32_t)call)
			return 0;
	return 1;
}

static int all_dead(int unused)
{
	(void)unused;
	return no_children; /* children of hogs included: orphans are reparented to the supervisor */
}

/* Returns 0 once `done(argument)` holds, -1 when the deadline has passed without it. */
static int wait_until(int (*done)(int), int argument, uint64_t deadline_ns)
{
	for (;;) {
		uint32_t seen = atomic_load(&shared->events);
		reap();
		if (done(argument))
			return 0;
		uint64_t now = now_ns();
		if (now >= deadline_ns)
			return -1;
		uint64_t left = deadline_ns - now;
		struct timespec timeout = { left / 1000000000u, left % 1000000000u };
		futex(&shared->events, FUTEX_WAIT, seen, &timeout);
	}
}

/* Takes the copies of the stack that a fork made necessary, now rather than in the round. */
static void own_stack(void)
{
	volatile char pages[32 * 1024];
	for (size_t i = 0; i < sizeof pages; i += 4096)
		pages[i] = 1;
}

void start_hogs(uint64_t deadline_ns, const int *counts)
{
	memset(shared, 0, shared_bytes);
	no_children = 0;
	for (int i = 0; i < n_hogs; i++) {
		struct hog *hog = &book->hogs[i];
		hog->dead = hog->cleanup = hog->status = 0;
		hog->dead_ns = 0;
		hog->absent = counts && hog->number >= counts[hog->group - groups];
		if (hog->absent) {
			hog->dead = 1;
			continue;
		}
		pid_t pid = fork();
		if (pid < 0)
			die(EXIT_SETUP, "fork");
		if (pid == 0)
			hog_main(i);
		hog->pid = pid;
	}
	if (wait_until(all_ready, 0, deadline_ns))
		die(EXIT_SETUP, "the hogs do not get ready");
	for (int i = 0; i < n_hogs; i++)
		if (book->hogs[i].dead && !book->hogs[i].absent)
			die(EXIT_SETUP, "a hog died before the round");
	own_stack();
}

int run_phases(uint64_t deadline_ns)
{
	for (int phase = 0; phase < n_phases; phase++) {
		atomic_store(&shared->phase, phase + 1);
		futex(&shared->phase, FUTEX_WAKE, INT_MAX, NULL);
		if (wait_until(phase_full, phase, deadline_ns))
			return -1;
	}
	atomic_store(&shared->roll_call, 1);
	futex(&shared->roll_call, FUTEX_WAKE, INT_MAX, NULL);
	return wait_until(all_answered, 1, deadline_ns);
}

/* -1 is everybody in our pid namespace but us, its first process. */
int end_survivors(void)
{
	for (int i = 0; i < n_hogs; i++)
		if (!book->hogs[i].dead)
			book->hogs[i].cleanup = 1;
	kill(-1, SIGKILL);
	int stuck = wait_until(all_dead, 0, now_ns() + 30000000000ull) != 0;
	for (int i = 0; i < n_groups; i++)
		remove_leftovers(&groups[i].work);
	return stuck;
}

static void report_stalls(int index)
{
	const struct progress *progress = &shared->hog[index].progress;
	uint32_t n = atomic_load(&progress->n_stalls), kept = n < MAX_STALLS ? n : MAX_STALLS;
	append("\"stalls_lost\":%u,\"longest_lost_ns\":%llu,\"stalls\":[", n - kept,
	       (unsigned long long)atomic_load(&progress->longest_lost_ns));
	for (uint32_t i = 0; i < kept; i++)
		append("%s[%llu,%llu,%llu]", i ? "," : "", (unsigned long long)progress->stalls[i].start_ns,
		       (unsigned long long)progress->stalls[i].end_ns, (unsigned long long)progress->stalls[i].system_ns);
	append("]}\n");
}

/* After the round, when no hog is left. */
static void report_hogs(int round)
{
	for (int i = 0; i < n_hogs; i++) {
		const struct hog *hog = &book->hogs[i];
		int status = hog->status;
		append("{\"event\":\"hog\",\"round\":%d,\"hog\":%d,\"name\":\"%s.%d\",\"demand_bytes\":%zu,\"touched_bytes\":%llu,"
		       "\"begin_ns\":%llu,\"full_ns\":%llu,\"dead\":%s,\"dead_ns\":%llu,\"signal\":%d,\"exit\":%d,\"cleanup\":%s,\"failed\":%d,",
		       round, i, hog->group->name, hog->number, hog->group->work.bytes,
		       (unsigned long long)atomic_load(&shared->hog[i].progress.bytes),
		       (unsigned long long)atomic_load(&shared->hog[i].progress.begin_ns),
		       (unsigned long long)atomic_load(&shared->hog[i].full_ns), hog->dead ? "true" : "false",
		       (unsigned long long)hog->dead_ns, hog->dead && WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		       hog->dead && WIFEXITED(status) ? WEXITSTATUS(status) : -1, hog->cleanup ? "true" : "false",
		       atomic_load(&shared->hog[i].failed));
		report_stalls(i);
		flush_events();
	}
}

static int any_failed(void)
{
	for (int i = 0; i < n_hogs; i++)
		if (atomic_load(&shared->hog[i].failed))
			return atomic_load(&shared->hog[i].failed);
	return 0;
}

void clean(int round)
{
	char request[64];
	snprintf(request, sizeof request, "clean %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_UNCLEAN, "the memcg does not get back to its baseline");
}

void run_round(int round, int deadline_ms)
{
	char request[64];
	snprintf(request, sizeof request, "begin %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses the round");
	start_hogs(now_ns() + 60000000000ull, NULL);

	snprintf(request, sizeof request, "armed %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector cannot arm the round");
	uint64_t start_ns = now_ns();
	event("{\"event\":\"round_start\",\"round\":%d,\"time_ns\":%llu,\"hogs\":%d}", round, (unsigned long long)start_ns, n_hogs);
	int hung = run_phases(start_ns + deadline_ms * 1000000ull) != 0;
	uint64_t end_ns = now_ns();
	int stuck = 0;

	/* A message is charged to the memcg: where charges wait for ever, it goes out once there is room again. */
	if (hung)
		stuck = end_survivors();
	snprintf(request, sizeof request, "end %d", round);
	int recorded = ask_collector(request, 120000);
	if (!hung)
		stuck = end_survivors();
	report_hogs(round);
	event("{\"event\":\"round_end\",\"round\":%d,\"time_ns\":%llu,\"hung\":%s,\"stuck\":%s,\"recorded\":%s}", round,
	      (unsigned long long)end_ns, hung ? "true" : "false", stuck ? "true" : "false", recorded ? "true" : "false");
	flush_events();
	if (stuck)
		exit(EXIT_HUNG);
	if ((errno = any_failed()))
		die(EXIT_SETUP, errno == EBADMSG ? "memory of a hog is not as it wrote it" : "a hog cannot do its work");
	clean(round);
}

int prepare_rounds(void)
{
	struct sigaction action = { .sa_handler = on_sigchld };
	shared_bytes = offsetof(struct shared, hog) + n_hogs * sizeof shared->hog[0]; /* all of it is locked, and charged */
	shared = share_pages(shared_bytes);
	return !shared || sigaction(SIGCHLD, &action, NULL) ? -1 : 0;
}
