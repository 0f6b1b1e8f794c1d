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
 * Anything on standard input says that the guest may have been restored from a snapshot: it then takes new random bytes from fw_cfg,
 * the time from the clock of the machine, and, for a supervisor that waits for one, the job: "TOKEN FIRST_ROUND ROUNDS CALIBRATE".
 * A signal would do as well, but for each the engine starts runc, which takes half a second under emulation.
 *
 * Its probes: trace.c. A kernel without tracefs has no trace.
 */
#include "collector.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MAX_NAME 32 /* it is part of the names of probes */

static struct {
	const char *socket, *name, *trace_kb;
	enum probes probes;
	pid_t owner; /* who would end us; 0: nobody that we could see */
} options = { .trace_kb = "4096", .probes = ALL_PROBES };

static int stopping, restored;

/* Signals are read like anything else that is waited for: one that came between a look at a flag and poll() would be lost. */
static int open_signals(void)
{
	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void read_signals(int fd)
{
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) == sizeof info)
		stopping = 1;
}

/* Returns the descriptor, or -1 at its end. */
static int read_input(int fd)
{
	char text[64];
	ssize_t n = read(fd, text, sizeof text);
	if (n > 0)
		restored = 1;
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)) ? fd : -1;
}

/* `waiting`: the connection of a supervisor that asked for its job, or -1. */
static void after_restore(int waiting)
{
	char job[129], reply[136], woken_for[sizeof token];
	restored = 0;
	restore_guest(job, sizeof job, woken_for);
	fflush(stdout);
	if (waiting >= 0) {
		memcpy(token, woken_for, sizeof token);
		int n = snprintf(reply, sizeof reply, job[0] ? "ok %s" : "no", job);
		send(waiting, reply, n, MSG_NOSIGNAL);
	}
}

int is_abandoned(void)
{
	return options.owner && kill(options.owner, 0) && errno == ESRCH;
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

static void say_ready(void)
{
	char boot_id[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, boot_id, sizeof boot_id - 1);
	close(fd);
	boot_id[length > 0 ? length - 1 : 0] = 0; /* without its newline */
	struct utsname kernel;
	uname(&kernel);
	emit("C {\"event\":\"ready\",\"boot_id\":\"%s\",\"release\":\"%s\"}", boot_id, kernel.release);
	fflush(stdout);
}

static void refuse(const char *option, const char *value)
{
	fprintf(stderr, "collector: %s %s\n", option, value);
	errno = EINVAL;
	die("unknown option or value");
}

/* At least `least`; what is no number is refused. */
static long number_of(const char *option, const char *value, long least)
{
	char *end;
	long number = strtol(value, &end, 10);
	if (end == value || *end || number < least)
		refuse(option, value);
	return number;
}

static void parse_options(int argc, char **argv)
{
	static const char *const names[] = { [NO_PROBES] = "none", [KILL_PROBES] = "kills", [ALL_PROBES] = "all" };
	for (int i = 1; i < argc; i += 2) {
		const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (!value) {
			refuse(option, "without a value");
		} else if (!strcmp(option, "--socket")) {
			options.socket = value;
		} else if (!strcmp(option, "--name") && value[0] && strlen(value) <= MAX_NAME) {
			options.name = value;
		} else if (!strcmp(option, "--trace-kb")) {
			number_of(option, value, 1);
			options.trace_kb = value;
		} else if (!strcmp(option, "--owner")) {
			options.owner = (pid_t)number_of(option, value, 1);
		} else if (!strcmp(option, "--probes")) {
			int known = ALL_PROBES;
			while (known >= 0 && strcmp(value, names[known]))
				known--;
			if (known < 0)
				refuse(option, value);
			options.probes = known;
		} else {
			refuse(option, value);
		}
	}
	if (!options.socket || !options.name) {
		errno = EINVAL;
		die("usage: collector --socket PATH --name TEXT");
	}
}

int main(int argc, char **argv)
{
	static char out[1 << 20];
	setvbuf(stdout, out, _IOFBF, sizeof out);
	parse_options(argc, argv);
	int signals = open_signals();
	if (signals < 0)
		die("cannot wait for signals");
	open_kmsg();
	open_trace(options.name, options.probes, options.trace_kb);
	int listener = listen_at(options.socket);
	say_ready();

	int input = STDIN_FILENO, connection = -1, asked_for_job = 0;
	while (!stopping) {
		if (restored) {
			after_restore(asked_for_job ? connection : -1);
			asked_for_job = 0;
		}
		/* poll(2) passes over a descriptor of -1 */
		struct pollfd fds[4] = {
			{ signals, POLLIN, 0 },
			{ input, POLLIN, 0 },
			{ connection < 0 ? listener : -1, POLLIN, 0 },
			{ connection, POLLIN, 0 },
		};
		if (poll(fds, 4, -1) < 0)
			continue;
		if (fds[0].revents) {
			read_signals(signals);
		} else if (fds[1].revents) {
			input = read_input(input);
		} else if (fds[3].revents) {
			char request[256];
			pid_t pid;
			ssize_t n = receive(connection, request, sizeof request, &pid);
			if (n > 0 && !strcmp(request, "job")) {
				asked_for_job = 1; /* answered when it is said that the guest was restored */
			} else if (n > 0) {
				handle_request(connection, request, pid);
			} else if (n == 0 || errno != EINTR) {
				close(connection);
				connection = -1;
				asked_for_job = 0;
				forget_machine();
				stop_trace();
				drain_kmsg(NULL, now_ms() + DRAIN_MS);
				drain_trace();
				emit("C {\"event\":\"closed\"}");
				fflush(stdout);
				stopping |= is_abandoned();
			}
		} else if (fds[2].revents) {
			connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		}
	}
	drain_kmsg(NULL, now_ms() + DRAIN_MS);
	drain_trace();
	close_trace();
	unlink(options.socket);
	emit("C {\"event\":\"bye\"}");
	fflush(stdout);
	return 0;
}
