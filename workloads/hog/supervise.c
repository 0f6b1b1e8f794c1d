// SPDX-License-Identifier: Apache-2.0
/*
 * The supervisor of an oomtrial container.
 *
 *   hog supervise --socket PATH [--token TEXT --rounds N --first-round N] --deadline-ms N
 *                 [--set LEVEL:FILE=VALUE ...] [--group CONTAINER ...] [--top LEVEL] [--swap BYTES] [--machine BYTES] [--calibrate WHERE;COUNTS;COUNTS;BYTES;BYTES ...]
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
 *   hello TOKEN | job | set LEVEL FILE VALUE | group CONTAINER | top LEVEL | swap BYTES | machine BYTES | begin N | hog I [CONTAINER] | child I | armed N | end N
 *   | clean N | limit lift | limit restore | measure NAME WHERE
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
 * Calibration: of a limit (WHERE: a LEVEL, the ID of a container or "machine") the hogs that are to survive, COUNTS of each group, must fit
 * without an OOM and with a reserve, and with one more they must not; both are tried before the first round.
 */
#include "hog.h"
#include "round.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_SETTINGS 32
#define CALIBRATION_NS 60000000000ull /* whatever the deadline of a round: nothing can hang here */

struct shared *shared;
struct book *book;
int any_unkillable, collector_fd = -1;
static struct group groups[MAX_GROUPS];
static int n_groups, n_hogs, n_phases, no_children;
static size_t shared_bytes;

long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void wake_all(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

/* -- events: JSON lines, kept in a static buffer until the round is over */

static void append(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t room = sizeof book->out - book->out_len;
	int n = vsnprintf(book->out + book->out_len, room, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		book->out_len += n;
}

#define event(format, ...) append(format "\n" __VA_OPT__(,) __VA_ARGS__)

static void flush_events(void)
{
	for (size_t done = 0; done < book->out_len;) {
		ssize_t n = write(1, book->out + done, book->out_len - done);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += n;
	}
	book->out_len = 0;
}

static void die(int code, const char *what)
{
	event("{\"event\":\"error\",\"what\":\"%s\",\"errno\":%d}", what, errno);
	flush_events();
	exit(code);
}

/* -- the collector */

static void tell_collector(const char *request)
{
	if (send(collector_fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		die(EXIT_COLLECTOR, "the collector's socket is closed");
}

static char reply[256]; /* of the collector, to the last request */

/* Returns 1 for "ok", 0 for "no". */
#define FOR_EVER (-1)

static int ask_collector(const char *request, int timeout_ms)
{
	struct pollfd fd = { collector_fd, POLLIN, 0 };
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;

	tell_collector(request);
	for (;;) {
		int64_t left = ((int64_t)deadline - (int64_t)now_ns()) / 1000000;
		int n = poll(&fd, 1, timeout_ms == FOR_EVER ? -1 : left > 0 ? (int)left : 0);
		if (n > 0)
			break;
		if (n == 0)
			die(EXIT_COLLECTOR, "the collector does not answer");
		/* EINTR: a child died */
	}
	ssize_t n = recv(collector_fd, reply, sizeof reply - 1, 0);
	if (n <= 0)
		die(EXIT_COLLECTOR, "the collector's socket is closed");
	reply[n] = 0;
	return strncmp(reply, "ok", 2) == 0;
}

static void connect_collector(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		die(EXIT_USAGE, "socket path too long");
	strcpy(address.sun_path, path);
	collector_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (collector_fd < 0 || connect(collector_fd, (struct sockaddr *)&address, sizeof address))
		die(EXIT_COLLECTOR, "cannot connect to the collector");
}

/* -- the supervisor */

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
	return no_children; /* children of hogs included: an orphan becomes ours */
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

/* `counts`: of each group only so many; NULL for all. */
static void start_hogs(uint64_t deadline_ns, const int *counts)
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

/* Runs the phases and the final roll call; -1 when the deadline passed first. */
static int run_phases(uint64_t deadline_ns)
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

/* All hogs, and what they forked: -1 is everybody in our pid namespace but us, its first process. Returns 1 when one outlives SIGKILL. */
static int end_survivors(void)
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
	append("\"stalls_lost\":%u,\"stalls\":[", n - kept);
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

static void clean(int round)
{
	char request[64];
	snprintf(request, sizeof request, "clean %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_UNCLEAN, "the memcg does not get back to its baseline");
}

static void run_round(int round, int deadline_ms)
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

/* -- calibration */

/* Runs some of the hogs without any record; the usage at a limit once all of them are full, -1 when they do not get there. */
static long long usage_of(const char *name, const char *where, const int *counts, long *ooms)
{
	char request[160];
	long long usage = -1;
	if (!ask_collector("begin 0", 60000))
		die(EXIT_COLLECTOR, "the collector refuses the calibration");
	start_hogs(now_ns() + 60000000000ull, counts);
	int hung = run_phases(now_ns() + CALIBRATION_NS) != 0;
	for (int i = 0; i < n_hogs; i++)
		hung |= book->hogs[i].dead && !book->hogs[i].absent;
	snprintf(request, sizeof request, "measure %s %s", name, where);
	if (!hung && ask_collector(request, 60000))
		sscanf(reply, "ok %lld %ld", &usage, ooms);
	if (end_survivors())
		exit(EXIT_HUNG);
	clean(0);
	return usage;
}

static int parse_counts(const char *text, int *counts)
{
	for (int i = 0; i < n_groups; i++) {
		char *end;
		counts[i] = (int)strtol(text, &end, 10);
		if (end == text || (*end != (i + 1 < n_groups ? ',' : 0)))
			return 0;
		text = end + 1;
	}
	return 1;
}

/* WHERE;FIT;OVER;CAPACITY;RESERVE: the hogs that are to survive at a limit fit there, and with one more they do not. */
static void calibrate(const char *text)
{
	char where[MEMBER_ID], fit_text[128], over_text[128];
	int fit[MAX_GROUPS], over[MAX_GROUPS];
	long long capacity, reserve;
	long ooms = 0, unused;
	if (sscanf(text, "%64[^;];%127[^;];%127[^;];%lld;%lld", where, fit_text, over_text, &capacity, &reserve) != 5 ||
	    !parse_counts(fit_text, fit) || !parse_counts(over_text, over))
		die(EXIT_USAGE, "bad --calibrate");
	long long fitting = usage_of("fit", where, fit, &ooms);
	if (!ask_collector("limit lift", 60000))
		die(EXIT_COLLECTOR, "the collector cannot lift the limit");
	long long exceeding = usage_of("over", where, over, &unused);
	if (!ask_collector("limit restore", 60000))
		die(EXIT_COLLECTOR, "the collector cannot restore the limit");
	event("{\"event\":\"calibration\",\"limit\":\"%s\",\"fit_bytes\":%lld,\"over_bytes\":%lld,\"capacity_bytes\":%lld,\"reserve_bytes\":%lld,"
	      "\"oom\":%ld}",
	      where, fitting, exceeding, capacity, reserve, ooms);
	flush_events();
	if (fitting < 0 || ooms || fitting > capacity - reserve || exceeding <= capacity)
		exit(EXIT_DEMAND);
}

/* -- arguments */

static int set_group(struct group *group, const char *key, const char *value)
{
	if (!strcmp(key, "name") && strlen(value) < sizeof group->name)
		strcpy(group->name, value);
	else if (!strcmp(key, "hogs"))
		group->count = atoi(value);
	else if (!strcmp(key, "phase"))
		group->phase = atoi(value);
	else if (!strcmp(key, "unkillable"))
		group->unkillable = atoi(value);
	else if (!strcmp(key, "stubborn"))
		group->ignores_signals = atoi(value);
	else if (!strcmp(key, "container") && strlen(value) < sizeof group->member)
		strcpy(group->member, value);
	else if (!strcmp(key, "reads") && strlen(value) < sizeof group->reads)
		strcpy(group->reads, value);
	else if (!strcmp(key, "kind"))
		return (group->work.stressor = find_stressor(value)) != NULL;
	else
		return set_work(&group->work, key, value);
	return 1;
}

/* KEY=VALUE,...; the text is cut up. */
static void parse_group(char *text)
{
	struct group *group = &groups[n_groups];
	if (n_groups == MAX_GROUPS)
		die(EXIT_USAGE, "too many --hog");
	*group = (struct group){ .count = 1, .work = { .stressor = &stressors[0], .count = 1, .huge_pages = 1 } };
	for (char *rest, *pair = strtok_r(text, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(pair, '=');
		if (!value || (*value = 0, !set_group(group, pair, value + 1)))
			die(EXIT_USAGE, "bad --hog");
	}
	if (!group->work.bytes || !group->name[0] || group->count < 1 || n_hogs + group->count > MAX_HOGS || group->phase < 0 ||
	    group->phase >= MAX_PHASES)
		die(EXIT_USAGE, "bad --hog");
	any_unkillable |= group->unkillable;
	for (int i = 0; i < group->count; i++) {
		book->hogs[n_hogs].group = group;
		book->hogs[n_hogs++].number = i;
	}
	if (group->phase >= n_phases)
		n_phases = group->phase + 1;
	n_groups++;
}

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

/* Everything is set up; what to do comes when the guest is told to go on, which may be in another life of it. */
static void take_job(char *token, int *first_round, int *rounds, int *calibrates)
{
	event("{\"event\":\"prepared\"}");
	flush_events();
	if (!ask_collector("job", FOR_EVER) || sscanf(reply, "ok %32s %d %d %d", token, first_round, rounds, calibrates) != 4)
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

int supervise(int argc, char **argv)
{
	const char *socket_path = NULL, *token = "", *calibrations[MAX_SETTINGS], *settings[MAX_SETTINGS], *members[MAX_SETTINGS], *top = NULL, *swap = NULL, *machine = NULL;
	int rounds = 1, first_round = 1, deadline_ms = 30000, n_settings = 0, n_members = 0, n_calibrations = 0, calibrates = 1;
	char request[128], job_token[33];

	book = share_pages(sizeof *book);
	if (!book)
		return EXIT_SETUP;
	for (int i = 0; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--socket"))
			socket_path = argv[i + 1];
		else if (!strcmp(argv[i], "--token"))
			token = argv[i + 1];
		else if (!strcmp(argv[i], "--rounds"))
			rounds = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--first-round"))
			first_round = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--deadline-ms"))
			deadline_ms = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--set") && n_settings < MAX_SETTINGS)
			settings[n_settings++] = argv[i + 1];
		else if (!strcmp(argv[i], "--group") && n_members < MAX_SETTINGS)
			members[n_members++] = argv[i + 1];
		else if (!strcmp(argv[i], "--top"))
			top = argv[i + 1];
		else if (!strcmp(argv[i], "--swap"))
			swap = argv[i + 1];
		else if (!strcmp(argv[i], "--machine"))
			machine = argv[i + 1];
		else if (!strcmp(argv[i], "--calibrate") && n_calibrations < MAX_SETTINGS)
			calibrations[n_calibrations++] = argv[i + 1];
		else if (!strcmp(argv[i], "--hog"))
			parse_group(argv[i + 1]);
		else
			die(EXIT_USAGE, "unknown option");
	}
	for (int i = 0; i < n_groups; i++)
		if ((groups[i].work.stressor->traits & ON_PIPE) && !share_pipe())
			die(EXIT_SETUP, "no pipe to share");
	if (!socket_path || !n_hogs || rounds < 1)
		die(EXIT_USAGE, "usage: hog supervise --socket PATH --token TEXT --hog name=TEXT,bytes=N,... ...");
	/* Anywhere else kill(-1) would end every process of the user. */
	if (getpid() != 1)
		die(EXIT_USAGE, "supervise is for the first process of a container");

	shared_bytes = offsetof(struct shared, hog) + n_hogs * sizeof shared->hog[0]; /* all of it is locked, and charged */
	shared = share_pages(shared_bytes);
	if (!shared)
		return EXIT_SETUP;
	prctl(PR_SET_NAME, "hog-supervisor");
	int locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
	struct sigaction action = { .sa_handler = on_sigchld };
	sigaction(SIGCHLD, &action, NULL);

	connect_collector(socket_path);
	snprintf(request, sizeof request, "hello %s", token[0] ? token : "-");
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses this container");
	for (int i = 0; i < n_settings; i++)
		apply_setting(settings[i]);
	for (int i = 0; i < n_members; i++) {
		snprintf(request, sizeof request, "group %s", members[i]);
		if (!ask_collector(request, 60000))
			die(EXIT_SETUP, "memory.oom.group cannot be set");
	}
	snprintf(request, sizeof request, "top %s", top ? top : "0");
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses this container");
	snprintf(request, sizeof request, "swap %s", swap ? swap : "0");
	if (swap && !ask_collector(request, 60000))
		die(EXIT_SETUP, "no zram swap can be had");
	if (!token[0])
		take_job(job_token, &first_round, &rounds, &calibrates);
	event("{\"event\":\"hello\",\"time_ns\":%llu,\"locked\":%s,\"rounds\":%d,\"first_round\":%d}", (unsigned long long)now_ns(),
	      locked ? "true" : "false", rounds, first_round);
	flush_events();
	if (machine)
		take_machine(machine);
	for (int i = 0; calibrates && i < n_calibrations; i++)
		calibrate(calibrations[i]);
	for (int round = first_round; round < first_round + rounds; round++)
		run_round(round, deadline_ms);
	event("{\"event\":\"bye\",\"time_ns\":%llu}", (unsigned long long)now_ns());
	flush_events();
	return 0;
}
