// SPDX-License-Identifier: Apache-2.0
/* The supervisor's connection to the collector. */
#include "supervise.h"
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void tell_collector(const char *request)
{
	if (send(collector_fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		die(EXIT_COLLECTOR, "the collector's socket is closed");
}

char reply[256];

int ask_collector(const char *request, int timeout_ms)
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

void connect_collector(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		die(EXIT_USAGE, "socket path too long");
	strcpy(address.sun_path, path);
	collector_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (collector_fd < 0 || connect(collector_fd, (struct sockaddr *)&address, sizeof address))
		die(EXIT_COLLECTOR, "cannot connect to the collector");
}
