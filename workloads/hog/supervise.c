// SPDX-License-Identifier: Apache-2.0
/*
 * The supervisor of an oomtrial container.
 *
 *   hog supervise --socket PATH [--token TEXT --rounds N --first-round N] --deadline-ms N
 *                 [--set LEVEL:FILE=VALUE ...] [--group CONTAINER ...] [--top LEVEL] [--swap BYTES] [--machine BYTES]
 *                 [--calibrate WHERE;COUNTS;COUNTS;BYTES;BYTES ...]
 *                 --hog name=TEXT,hogs=N,phase=N,kind=KIND,bytes=N[,KEY=VALUE ...] ...
 *
 * The supervisor is the container's init. In each round it forks the hogs, has them grow phase by phase, and
 * waits until each one is dead or full. Hogs hold their memory until every survivor is full, so a kernel that
 * merely delays gains nothing. One JSON object a line goes to stdout, between the rounds only.
 *
 * During a round the supervisor allocates nothing: its memory is locked, events go to a static buffer, and hogs
 * report through a shared page and a futex. (Pipes and sockets are charged to the memcg that is being tested.)
 *
 * The collector is at the other end of a Unix socket (SOCK_SEQPACKET, one request a packet):
 *   hello TOKEN | job | set LEVEL FILE VALUE | group CONTAINER | top LEVEL | swap BYTES | machine BYTES | begin N
 *   | hog I [CONTAINER] | child I | armed N | end N | clean N | limit lift | limit restore | measure NAME WHERE
 * and answers "ok ..." or "no ...", but for hog and child, which have no answer. LEVEL is 0 for the container's own memcg,
 * 1 for its parent, and so on.
 * Without --token the supervisor asks for its job once everything is set up; the answer "ok TOKEN FIRST_ROUND ROUNDS
 * CALIBRATE" comes when the guest's next life begins: a snapshot can be taken meanwhile.
 * Each hog sends its own "hog I" through the inherited connection: the kernel puts the sender's pid, as the
 * collector's pid namespace sees it, beside the message (unix(7), SCM_CREDENTIALS), so the pids of the kernel
 * log need no translation.
 *
 * --machine: a ballast of the collector's takes what the machine has beyond so much, and the rest is the limit.
 *
 * Calibration: of a limit (WHERE: a LEVEL, "container:" and an ID, or "machine") the hogs that are to survive, COUNTS of each
 * group, must fit without an OOM and with a reserve, and with one more they must not; both are tried before the first round.
 */
#include "supervise.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* "LEVEL:FILE=VALUE" to a request */
static void apply_setting(const char *text)
{
	char request[256], file[64], value[64];
	int level;
	if (sscanf(text, "%d:%63[a-z._]=%63s", &level, file, value) != 3)
		die(EXIT_USAGE, "bad --set");
	snprintf(request, sizeof request, "set %d %s %s", level, file, value);
	if (!ask_collector(request, 60000))
		die(EXIT_SETUP, "a memcg file cannot be set");
}

/* Everything is set up; the job arrives when the guest is told to continue, perhaps after it was restored from a snapshot. */
static void take_job(struct options *options, int *calibrates)
{
	event("{\"event\":\"prepared\"}");
	flush_events();
	if (!ask_collector("job", FOR_EVER) || sscanf(reply, "ok %32s %d %d %d", options->token, &options->first_round, &options->rounds, calibrates) != 4)
		die(EXIT_COLLECTOR, "the collector has no job");
}

/* The machine is the limit: what it has beyond so much is taken before the first hog grows. */
static void take_machine(const char *bytes)
{
	char request[64];
	long long available;
	snprintf(request, sizeof request, "machine %s", bytes);
	if (!ask_collector(request, 120000) || sscanf(reply, "ok %lld", &available) != 1)
		die(EXIT_SETUP, "the collector cannot take the rest of the machine's memory");
	if (available >= atoll(bytes))
		return;
	event("{\"event\":\"calibration\",\"limit\":\"machine\",\"capacity_bytes\":%s,\"available_bytes\":%lld}", bytes, available);
	flush_events();
	exit(EXIT_DEMAND);
}

/* Hogs that take the lock of one pipe inherit it. */
static void share_pipe_of_hogs(void)
{
	for (int i = 0; i < n_groups; i++)
		if ((groups[i].work.stressor->traits & ON_PIPE) && !share_pipe())
			die(EXIT_SETUP, "no pipe to share");
}

int supervise(int argc, char **argv)
{
	struct options options = { .rounds = 1, .first_round = 1, .deadline_ms = 30000 };
	int calibrates = 1;
	char request[128];

	book = share_pages(sizeof *book);
	if (!book)
		return EXIT_SETUP;
	parse_options(&options, argc, argv);
	/* Anywhere else kill(-1) would end every process of the user. */
	if (getpid() != 1)
		die(EXIT_USAGE, "supervise is for the first process of a container");

	share_pipe_of_hogs();
	if (prepare_rounds())
		return EXIT_SETUP;
	prctl(PR_SET_NAME, "hog-supervisor");
	int locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;

	connect_collector(options.socket);
	snprintf(request, sizeof request, "hello %s", options.token[0] ? options.token : "-");
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses this container");
	for (int i = 0; i < options.settings.n; i++)
		apply_setting(options.settings.text[i]);
	for (int i = 0; i < options.members.n; i++) {
		snprintf(request, sizeof request, "group %s", options.members.text[i]);
		if (!ask_collector(request, 60000))
			die(EXIT_SETUP, "memory.oom.group cannot be set");
	}
	snprintf(request, sizeof request, "top %s", options.top ? options.top : "0");
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses this container");
	snprintf(request, sizeof request, "swap %s", options.swap ? options.swap : "0");
	if (options.swap && !ask_collector(request, 60000))
		die(EXIT_SETUP, "no zram swap can be had");
	if (!options.token[0])
		take_job(&options, &calibrates);
	event("{\"event\":\"hello\",\"time_ns\":%llu,\"locked\":%s,\"rounds\":%d,\"first_round\":%d}", (unsigned long long)now_ns(),
	      locked ? "true" : "false", options.rounds, options.first_round);
	flush_events();
	if (options.machine)
		take_machine(options.machine);
	for (int i = 0; calibrates && i < options.calibrations.n; i++)
		calibrate(options.calibrations.text[i]);
	for (int round = options.first_round; round < options.first_round + options.rounds; round++)
		run_round(round, options.deadline_ms);
	event("{\"event\":\"bye\",\"time_ns\":%llu}", (unsigned long long)now_ns());
	flush_events();
	return 0;
}
