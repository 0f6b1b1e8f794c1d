// SPDX-License-Identifier: Apache-2.0
/*
 * hog: the workload of an oomtrial container, one static binary.
 *
 *   hog supervise --socket PATH --token TEXT --rounds N --first-round N --deadline-ms N --hog NAME:COUNT:BYTES:PHASE:FLAGS ...
 *
 * FLAGS are letters, or - for none: h huge pages as the system has them (else MADV_NOHUGEPAGE), u unkillable (keeps the
 * oom_score_adj that the container was given), e grows until the kernel says ENOMEM, then gives its memory back.
 *
 * The supervisor is the container's init. In each round it forks the hogs, has them grow phase by phase, and
 * waits until each one is dead or full. Hogs hold their memory until every survivor is full, so a kernel that
 * merely delays gains nothing. One JSON object a line goes to stdout, between the rounds only.
 *
 * During a round the supervisor allocates nothing: its memory is locked, events go to a static buffer, and hogs
 * report through a shared page and a futex. (Pipes and sockets are charged to the memcg that is being tested.)
 *
 * The collector is at the other end of a Unix socket (SOCK_SEQPACKET, one request a packet):
 *   hello TOKEN | begin N | hog I | armed N | end N | clean N      -> "ok ..." or "no ...", but for "hog", which has no answer
 * Each hog sends its own "hog I" through the inherited connection: the kernel puts the sender's pid, as the
 * collector's pid namespace sees it, beside the message (unix(7), SCM_CREDENTIALS), so the pids of the kernel
 * log need no translation.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_HOGS 512
#define MAX_GROUPS 16
#define MAX_PHASES 16
/* include/linux/futex.h is not in musl's include path; these are ABI. */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { EXIT_USAGE = 64, EXIT_COLLECTOR = 65, EXIT_HUNG = 66, EXIT_UNCLEAN = 67, EXIT_SETUP = 68 };

enum hog_state { HOG_FORKED, HOG_READY, HOG_FULL };

/* Shared between the supervisor and its hogs; touched by every hog before the round starts. */
struct shared {
	_Atomic uint32_t events;    /* futex: a hog changed state, or a child died */
	_Atomic uint32_t phase;     /* futex: hogs of phases below this number may grow */
	_Atomic uint32_t roll_call; /* futex: survivors answer it, victims cannot */
	struct {
		_Atomic uint32_t state;
		_Atomic uint32_t answered;
		_Atomic uint64_t bytes;
		_Atomic uint64_t full_ns;
	} hog[MAX_HOGS];
};

struct group {
	char name[12];
	int count, phase;
	size_t bytes;
	int huge_pages, unkillable, until_enomem;
};

struct hog {
	const struct group *group;
	int number; /* within its group */
	pid_t pid;
	int dead, status, cleanup;
	uint64_t dead_ns;
};

/*
 * What the supervisor writes while hogs live. It is mapped shared: a private page would be copied on write
 * after each fork, and the copy charged to the memcg in the middle of a round.
 */
struct book {
	struct hog hogs[MAX_HOGS];
	size_t out_len;
	char out[256 * 1024];
};

static struct shared *shared;
static struct book *book;
static struct group groups[MAX_GROUPS];
static int n_groups, n_hogs, n_phases, any_unkillable, collector_fd = -1;

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + ts.tv_nsec;
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

/* -- events: JSON lines, kept in a static buffer until the round is over */

static void event(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t room = sizeof book->out - book->out_len;
	int n = vsnprintf(book->out + book->out_len, room, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n + 1 < room) {
		book->out_len += n;
		book->out[book->out_len++] = '\n';
	}
}

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

/* Returns 1 for "ok", 0 for "no". */
static int ask_collector(const char *request, int timeout_ms)
{
	char reply[256];
	struct pollfd fd = { collector_fd, POLLIN, 0 };
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;

	tell_collector(request);
	for (;;) {
		int64_t left = ((int64_t)deadline - (int64_t)now_ns()) / 1000000;
		int n = poll(&fd, 1, left > 0 ? (int)left : 0);
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

/* -- a hog */

/*
 * Every hog raises its own score by the same amount: the supervisor is spared, the order by size stays, and no
 * capability is needed. (Lowering the supervisor's needs CAP_SYS_RESOURCE.)
 */
static int raise_oom_score_adj(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	int ok = fd >= 0 && write(fd, "500", 3) == 3;
	close(fd);
	return ok;
}

static void hog_main(int index)
{
	const struct group *group = book->hogs[index].group;
	char text[32];

	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(text, sizeof text, "%s.%d", group->name, book->hogs[index].number);
	prctl(PR_SET_NAME, text);
	/* Beside unkillable hogs the others become killable when their phase begins; else at once, out of the way. */
	if (!any_unkillable && !raise_oom_score_adj())
		_exit(EXIT_SETUP);
	char *memory = mmap(NULL, group->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		_exit(EXIT_SETUP);
	if (!group->huge_pages && madvise(memory, group->bytes, MADV_NOHUGEPAGE) && errno != EINVAL)
		_exit(EXIT_SETUP); /* EINVAL: a kernel without THP */
	snprintf(text, sizeof text, "hog %d", index);
	if (send(collector_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(EXIT_SETUP);

	atomic_store(&shared->hog[index].state, HOG_READY);
	wake_all(&shared->events);
	for (uint32_t phase; (phase = atomic_load(&shared->phase)) <= (uint32_t)group->phase;)
		futex(&shared->phase, FUTEX_WAIT, phase, NULL);
	if (any_unkillable && !group->unkillable && !raise_oom_score_adj())
		_exit(EXIT_SETUP);

	for (size_t done = 0; done < group->bytes; done += 4096) {
		/* A touch that cannot be charged is tried again for ever; a system call says ENOMEM. */
		if (group->until_enomem && madvise(memory + done, 4096, MADV_POPULATE_WRITE)) {
			if (errno != ENOMEM && errno != EFAULT)
				_exit(EXIT_SETUP); /* EINVAL: before 5.14 */
			madvise(memory, done, MADV_DONTNEED);
			break;
		}
		memory[done] = 1;
		atomic_store_explicit(&shared->hog[index].bytes, done + 4096, memory_order_relaxed);
	}
	atomic_store(&shared->hog[index].full_ns, now_ns());
	atomic_store(&shared->hog[index].state, HOG_FULL);
	wake_all(&shared->events);

	/* A process with a pending SIGKILL never gets here: it cannot answer the roll. */
	for (;;) {
		uint32_t call = atomic_load(&shared->roll_call);
		if (call > atomic_load(&shared->hog[index].answered)) {
			atomic_store(&shared->hog[index].answered, call);
			wake_all(&shared->events);
		} else {
			futex(&shared->roll_call, FUTEX_WAIT, call, NULL);
		}
	}
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
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (int i = 0; i < n_hogs; i++) {
			if (book->hogs[i].pid == pid && !book->hogs[i].dead) {
				book->hogs[i].dead = 1;
				book->hogs[i].status = status;
				book->hogs[i].dead_ns = now_ns();
			}
		}
	}
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
	for (int i = 0; i < n_hogs; i++)
		if (!book->hogs[i].dead)
			return 0;
	return 1;
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

static void start_hogs(uint64_t deadline_ns)
{
	memset(shared, 0, sizeof *shared);
	for (int i = 0; i < n_hogs; i++) {
		book->hogs[i].dead = book->hogs[i].cleanup = book->hogs[i].status = 0;
		book->hogs[i].dead_ns = 0;
		pid_t pid = fork();
		if (pid < 0)
			die(EXIT_SETUP, "fork");
		if (pid == 0)
			hog_main(i);
		book->hogs[i].pid = pid;
	}
	if (wait_until(all_ready, 0, deadline_ns))
		die(EXIT_SETUP, "the hogs do not get ready");
	for (int i = 0; i < n_hogs; i++)
		if (book->hogs[i].dead)
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

static void kill_survivors(void)
{
	for (int i = 0; i < n_hogs; i++) {
		if (!book->hogs[i].dead) {
			book->hogs[i].cleanup = 1;
			kill(book->hogs[i].pid, SIGKILL);
		}
	}
}

/* Returns 1 when one of them outlives SIGKILL. */
static int end_survivors(void)
{
	kill_survivors();
	return wait_until(all_dead, 0, now_ns() + 30000000000ull) != 0;
}

static void report_hogs(int round)
{
	for (int i = 0; i < n_hogs; i++) {
		int status = book->hogs[i].status;
		event("{\"event\":\"hog\",\"round\":%d,\"hog\":%d,\"name\":\"%s.%d\",\"demand_bytes\":%zu,\"touched_bytes\":%llu,"
		      "\"full_ns\":%llu,\"dead\":%s,\"dead_ns\":%llu,\"signal\":%d,\"exit\":%d,\"cleanup\":%s}",
		      round, i, book->hogs[i].group->name, book->hogs[i].number, book->hogs[i].group->bytes,
		      (unsigned long long)atomic_load(&shared->hog[i].bytes),
		      (unsigned long long)atomic_load(&shared->hog[i].full_ns), book->hogs[i].dead ? "true" : "false",
		      (unsigned long long)book->hogs[i].dead_ns, book->hogs[i].dead && WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		      book->hogs[i].dead && WIFEXITED(status) ? WEXITSTATUS(status) : -1, book->hogs[i].cleanup ? "true" : "false");
	}
}

static void run_round(int round, int deadline_ms)
{
	char request[64];
	snprintf(request, sizeof request, "begin %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_COLLECTOR, "the collector refuses the round");
	start_hogs(now_ns() + 60000000000ull);

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
	snprintf(request, sizeof request, "clean %d", round);
	if (!ask_collector(request, 60000))
		die(EXIT_UNCLEAN, "the memcg does not get back to its baseline");
}

static void parse_group(const char *text)
{
	struct group *group = &groups[n_groups];
	unsigned long long bytes;
	char flags[8];
	if (n_groups == MAX_GROUPS || sscanf(text, "%11[^:]:%d:%llu:%d:%7[hue-]", group->name, &group->count, &bytes, &group->phase, flags) != 5 ||
	    group->count < 1 || n_hogs + group->count > MAX_HOGS || bytes < 4096 || group->phase < 0 || group->phase >= MAX_PHASES)
		die(EXIT_USAGE, "bad --hog");
	group->bytes = bytes;
	group->huge_pages = strchr(flags, 'h') != NULL;
	group->unkillable = strchr(flags, 'u') != NULL;
	any_unkillable |= group->unkillable;
	group->until_enomem = strchr(flags, 'e') != NULL;
	for (int i = 0; i < group->count; i++) {
		book->hogs[n_hogs].group = group;
		book->hogs[n_hogs++].number = i;
	}
	if (group->phase >= n_phases)
		n_phases = group->phase + 1;
	n_groups++;
}

static int supervise(int argc, char **argv)
{
	const char *socket_path = NULL, *token = "";
	int rounds = 1, first_round = 1, deadline_ms = 30000;

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
		else if (!strcmp(argv[i], "--hog"))
			parse_group(argv[i + 1]);
		else
			die(EXIT_USAGE, "unknown option");
	}
	if (!socket_path || !n_hogs || rounds < 1)
		die(EXIT_USAGE, "usage: hog supervise --socket PATH --token TEXT --hog NAME:COUNT:BYTES:PHASE:FLAGS ...");

	prctl(PR_SET_NAME, "hog-supervisor");
	int locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
	struct sigaction action = { .sa_handler = on_sigchld };
	sigaction(SIGCHLD, &action, NULL);

	connect_collector(socket_path);
	char hello[64];
	snprintf(hello, sizeof hello, "hello %s", token);
	if (!ask_collector(hello, 60000))
		die(EXIT_COLLECTOR, "the collector refuses this container");
	event("{\"event\":\"hello\",\"time_ns\":%llu,\"locked\":%s,\"rounds\":%d,\"first_round\":%d}", (unsigned long long)now_ns(),
	      locked ? "true" : "false", rounds, first_round);
	flush_events();
	for (int round = first_round; round < first_round + rounds; round++)
		run_round(round, deadline_ms);
	event("{\"event\":\"bye\",\"time_ns\":%llu}", (unsigned long long)now_ns());
	flush_events();
	return 0;
}

int main(int argc, char **argv)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || book == MAP_FAILED) {
		perror("mmap");
		return EXIT_SETUP;
	}
	if (argc >= 2 && !strcmp(argv[1], "supervise"))
		return supervise(argc - 2, argv + 2);
	fprintf(stderr, "usage: hog supervise ...\n");
	return EXIT_USAGE;
}
