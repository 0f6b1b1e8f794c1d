// SPDX-License-Identifier: Apache-2.0
/* The machine as a limit: a ballast takes what the hogs are not to have. */
#include "collector.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BALLAST_STEP (64ll << 20)
#define BALLAST_NEAR (1ll << 20) /* the kernel counts free pages per CPU */

long long machine_bytes;
static pid_t ballast;            /* the process that holds it; 0: none */
static long long machine_before; /* available before any hog grew */

/* MemAvailable leaves out the free pages that each CPU keeps in lists of its own (struct per_cpu_pages): a few MB when nothing happens,
 * up to 100 MB when a process has just given 1.6 GB back (6.1, 4 CPUs). */
static long long bytes_in_cpu_lists(void)
{
	char line[512];
	long long pages = 0, count;
	FILE *file = fopen("/proc/zoneinfo", "re");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, " count: %lld", &count) == 1)
			pages += count;
	if (file)
		fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

static long long available_bytes(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1"); /* what the CPUs have counted and not yet told */
	long long kb = number_in("/proc", "meminfo", "MemAvailable:");
	return kb < 0 ? -1 : kb * 1024 + bytes_in_cpu_lists();
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

void release_ballast(void)
{
	if (ballast > 0) {
		kill(ballast, SIGKILL);
		while (waitpid(ballast, NULL, 0) < 0 && errno == EINTR)
			;
	}
	ballast = 0;
	machine_before = available_bytes();
}

int take_ballast(void)
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

void forget_machine(void)
{
	machine_bytes = 0;
	release_ballast();
}

/* The kernel's own, page tables and slab, is in it. */
long long machine_usage(void)
{
	long long available = available_bytes();
	return available < 0 ? LLONG_MIN : machine_before - available;
}

/* "ok" and what was available before; a machine that has less than it is asked for gets no ballast. */
int request_machine(long long bytes, char *reply, size_t size)
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
