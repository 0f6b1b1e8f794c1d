// SPDX-License-Identifier: Apache-2.0
/* Memory is taken page by page, each page written with its own number; waits are noted. */
#include "take.h"
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define STALL_SAMPLE 64 /* pages between two looks at the CPU time */

uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + ts.tv_nsec;
}

void *share_pages(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pages != MAP_FAILED)
		return pages;
	perror("mmap");
	return NULL;
}

static uint64_t system_ns(void)
{
	struct rusage usage;
	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_stime.tv_sec * 1000000000u + usage.ru_stime.tv_usec * 1000u;
}

/* Of one thread: a stall is the time between two pages of the same one. */
static _Thread_local struct {
	uint64_t last_ns, system_ns;
	unsigned pages;
} pace;

void begin_pace(void)
{
	pace.last_ns = now_ns();
	pace.system_ns = system_ns();
	pace.pages = 0;
}

/* Sharers of a hog note their waits in one place. */
static void note_longest(_Atomic uint64_t *longest_ns, uint64_t waited_ns)
{
	uint64_t known = atomic_load(longest_ns);

	while (known < waited_ns && !atomic_compare_exchange_weak(longest_ns, &known, waited_ns))
		;
}

void made_progress(struct work *work, size_t bytes)
{
	uint64_t now = now_ns(), waited = now - pace.last_ns;
	struct progress *progress = work->progress;

	atomic_fetch_add_explicit(&progress->bytes, bytes, memory_order_relaxed);
	if (work->shares_tls)
		return;
	if (waited >= STALL_NS) {
		uint32_t i = atomic_fetch_add(&progress->n_stalls, 1);
		uint64_t system = system_ns();
		if (i < MAX_STALLS)
			progress->stalls[i] = (struct stall){ pace.last_ns, now, system - pace.system_ns };
		else
			note_longest(&progress->longest_lost_ns, waited);
		pace.system_ns = system;
		pace.pages = 0;
		now = now_ns();
	} else if (++pace.pages >= STALL_SAMPLE) {
		pace.system_ns = system_ns();
		pace.pages = 0;
	}
	pace.last_ns = now;
}

void rest(struct work *work, size_t done)
{
	if (!work->step_bytes || done % work->step_bytes)
		return;
	struct timespec pause = { work->step_ms / 1000, work->step_ms % 1000 * 1000000l };
	nanosleep(&pause, NULL);
	begin_pace(); /* a rest is no stall */
}

/* The n-th page to be touched. A stride that shares no factor with the count visits each page once. */
static size_t page_at(enum touch_order order, size_t n, size_t pages)
{
	if (order == BACKWARD)
		return pages - 1 - n;
	if (order == FORWARD || pages < 3)
		return n;
	size_t stride = pages * 618 / 1000;
	for (;; stride++) {
		size_t a = pages, b = stride;
		while (b) {
			size_t c = a % b;
			a = b;
			b = c;
		}
		if (a == 1)
			break;
	}
	return (size_t)((unsigned __int128)n * stride % pages);
}

void stamp(char *page)
{
	*(volatile uint64_t *)page = (uint64_t)(uintptr_t)page;
}

/* Where the last grown memory lies; one a process. */
static char *taken;
static size_t taken_bytes;

void note_taken(char *memory, size_t bytes)
{
	taken = memory;
	taken_bytes = bytes;
}

char *map_memory(struct work *work, int flags, int fd)
{
	if (work->populate)
		flags |= MAP_POPULATE;
	char *memory = mmap(NULL, work->bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
	/* EINVAL: a kernel without THP */
	if (memory != MAP_FAILED && !work->huge_pages && madvise(memory, work->bytes, MADV_NOHUGEPAGE) && errno != EINVAL)
		return MAP_FAILED;
	return memory;
}

int touch_memory(struct work *work, char *memory)
{
	size_t pages = work->bytes / PAGE;

	atomic_store(&work->progress->address, (uintptr_t)memory);
	for (size_t n = 0; n < pages; n++) {
		char *page = memory + page_at(work->order, n, pages) * PAGE;
		/* A touch that cannot be charged is tried again for ever; a system call says ENOMEM. */
		if (work->until_enomem && madvise(page, PAGE, MADV_POPULATE_WRITE)) {
			if (errno != ENOMEM && errno != EFAULT)
				return -1; /* EINVAL: before 5.14 */
			return madvise(memory, work->bytes, MADV_DONTNEED);
		}
		stamp(page);
		made_progress(work, PAGE);
		rest(work, (n + 1) * PAGE);
	}
	note_taken(memory, work->bytes);
	return 0;
}

int check_taken(void)
{
	for (size_t done = 0; done < taken_bytes; done += PAGE)
		if (*(volatile uint64_t *)(taken + done) != (uint64_t)(uintptr_t)(taken + done))
			return 0;
	return 1;
}
