// SPDX-License-Identifier: Apache-2.0
/* The ways to take memory. Amounts are exact: every page is written with its own number, and can be checked. */
#include "take.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHM_PREFIX "/dev/shm/hog-"
#define PIPE_BYTES (1ul << 20) /* fs.pipe-max-size as the kernel has it */

int grow_vm(struct work *work)
{
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (memory == MAP_FAILED)
		return -1;
	for (int cycle = 0; cycle < work->cycles; cycle++) {
		if (touch_memory(work, memory) || madvise(memory, work->bytes, MADV_DONTNEED))
			return -1;
		atomic_store(&work->progress->bytes, 0);
	}
	return touch_memory(work, memory);
}

static int grow_mlock(struct work *work)
{
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t chunk = 16 * PAGE;
	if (memory == MAP_FAILED)
		return -1;
	for (size_t done = 0; done < work->bytes; done += chunk) {
		size_t some = work->bytes - done < chunk ? work->bytes - done : chunk;
		while (mlock(memory + done, some))
			if (errno != EAGAIN && errno != ENOMEM)
				return -1; /* EPERM: RLIMIT_MEMLOCK */
		for (size_t page = done; page < done + some; page += PAGE)
			stamp(memory + page);
		made_progress(work, some);
		rest(work, done + some);
	}
	note_taken(memory, work->bytes);
	return 0;
}

static int grow_file(struct work *work, int fd)
{
	if (fd < 0 || ftruncate(fd, work->bytes))
		return -1;
	char *memory = map_memory(work, MAP_SHARED, fd);
	close(fd);
	return memory == MAP_FAILED ? -1 : touch_memory(work, memory);
}

static int grow_memfd(struct work *work)
{
	return grow_file(work, memfd_create("hog", MFD_CLOEXEC));
}

/* A file on tmpfs: its pages stay charged when the process is killed. */
static int grow_shm(struct work *work)
{
	char path[64];
	snprintf(path, sizeof path, SHM_PREFIX "%d", getpid());
	return grow_file(work, open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

void remove_leftovers(const struct work *work)
{
	char path[64];
	int fd = work->path ? open(work->path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	if (!(work->stressor->traits & SURVIVES))
		return;
	/* pids of a container of its own are small, and a directory listing would allocate */
	for (int pid = 1; pid < 32768; pid++) {
		snprintf(path, sizeof path, SHM_PREFIX "%d", pid);
		unlink(path);
	}
}

static int fill(struct work *work, int fd, size_t bytes)
{
	static const char zeros[PAGE];
	for (size_t done = 0; done < bytes;) {
		ssize_t n = write(fd, zeros, bytes - done < PAGE ? bytes - done : PAGE);
		if (n < 0 && errno == EAGAIN)
			return 0; /* full: what it holds is counted by the kernel, not by us */
		if (n < 0 && errno != EINTR && errno != ENOMEM && errno != ENOBUFS)
			return -1;
		if (n > 0) {
			done += n;
			made_progress(work, n);
		}
	}
	return 0;
}

static int grow_pipe(struct work *work)
{
	for (size_t done = 0; done < work->bytes;) {
		int ends[2];
		size_t some = work->bytes - done < PIPE_BYTES ? work->bytes - done : PIPE_BYTES;
		if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0 || fill(work, ends[1], some))
			return -1;
		done += some;
	}
	return 0;
}

static int grow_sock(struct work *work)
{
	size_t each = 128 * 1024; /* below net.core.wmem_max */
	for (size_t done = 0; done < work->bytes;) {
		int ends[2], size = (int)each;
		size_t some = work->bytes - done < each ? work->bytes - done : each;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
			return -1;
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
		if (fill(work, ends[0], some))
			return -1;
		done += some;
	}
	return 0;
}

/* Page cache of a file, clean: the kernel can take it back at any time. */
static int grow_pagecache(struct work *work)
{
	static char buffer[64 * 1024];
	int fd = open(work->path ? work->path : "", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (size_t done = 0; done < work->bytes;) {
		size_t some = work->bytes - done < sizeof buffer ? work->bytes - done : sizeof buffer;
		ssize_t n = pread(fd, buffer, some, (off_t)done);
		if (n < 0 && errno != ENOMEM && errno != EINTR)
			return -1;
		if (n == 0)
			break; /* the file is shorter */
		if (n > 0) {
			done += n;
			made_progress(work, n);
		}
	}
	close(fd);
	return 0;
}

/* -- slow to exit */

/* Every other page has other rights: as many VMAs as pages (stay below vm.max_map_count). */
static int grow_vma(struct work *work)
{
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (memory == MAP_FAILED || touch_memory(work, memory))
		return -1;
	for (size_t done = 0; done + PAGE <= work->bytes; done += 2 * PAGE)
		if (mprotect(memory + done, PAGE, PROT_READ))
			return -1;
	return 0;
}

/* One page in every 2 MiB: a page table for each, so half of the bytes are page tables. */
static int grow_sparse(struct work *work)
{
	size_t gap = 2ul << 20, pages = work->bytes / (2 * PAGE);
	char *memory = mmap(NULL, pages * gap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || (madvise(memory, pages * gap, MADV_NOHUGEPAGE) && errno != EINVAL))
		return -1;
	for (size_t n = 0; n < pages; n++) {
		stamp(memory + n * gap);
		made_progress(work, 2 * PAGE);
	}
	return 0;
}

const struct stressor stressors[] = {
	{ "vm", "anonymous memory; order, thp, populate, cycles, enomem", grow_vm, 0 },
	{ "mlock", "anonymous memory, locked 64 KiB at a time", grow_mlock, 0 },
	{ "memfd", "shared memory of a memfd, gone with its process", grow_memfd, 0 },
	{ "shm", "a file in /dev/shm, which outlives its process", grow_shm, SURVIVES },
	{ "pagecache", "a file that is read (path=)", grow_pagecache, 0 },
	{ "pipe", "kernel memory: pipes filled to 1 MiB", grow_pipe, 0 },
	{ "sock", "kernel memory: stream sockets that nobody reads", grow_sock, 0 },
	{ "fork", "a tree of count processes, which share the bytes out", grow_fork, 0 },
	{ "pthread", "count threads, which share the bytes out", grow_pthread, 0 },
	{ "clone", "count processes on one mm (CLONE_VM), which share the bytes out", grow_clone, 0 },
	{ "vfork", "a child that grows on the mm of its parent, which waits in vfork", grow_vfork, 0 },
	{ "vma", "anonymous memory in VMAs of one page", grow_vma, 0 },
	{ "sparse", "one page in 2 MiB: as much in page tables", grow_sparse, 0 },
	{ "readmem", "reads the memory of another hog, whose mm it pins meanwhile", grow_readmem, 0 },
	{ "pipelock", "anonymous memory, taken with the lock of a shared pipe held", grow_pipelock, ON_PIPE },
	{ "pipewait", "anonymous memory, and a thread that takes that lock again and again", grow_pipewait, ON_PIPE },
	{ NULL, NULL, NULL, 0 },
};

const struct stressor *find_stressor(const char *name)
{
	for (const struct stressor *stressor = stressors; stressor->name; stressor++)
		if (!strcmp(stressor->name, name))
			return stressor;
	return NULL;
}

static int in_bounds(const char *value, long long low, long long high, long long *number)
{
	char *end;
	errno = 0;
	*number = strtoll(value, &end, 10);
	return !errno && end != value && !*end && *number >= low && *number <= high;
}

int set_work(struct work *work, const char *key, const char *value)
{
	static const char *const orders[] = { "forward", "backward", "random" };
	long long number;

	if (!strcmp(key, "bytes") && in_bounds(value, PAGE, 1ll << 44, &number))
		work->bytes = (size_t)number / PAGE * PAGE;
	else if (!strcmp(key, "step-bytes") && in_bounds(value, PAGE, 1ll << 44, &number))
		work->step_bytes = (size_t)number / PAGE * PAGE;
	else if (!strcmp(key, "step-ms") && in_bounds(value, 0, 60000, &number))
		work->step_ms = (int)number;
	else if (!strcmp(key, "count") && in_bounds(value, 1, MAX_SHARERS, &number))
		work->count = (int)number;
	else if (!strcmp(key, "cycles") && in_bounds(value, 0, 1000, &number))
		work->cycles = (int)number;
	else if (!strcmp(key, "thp") && in_bounds(value, 0, 1, &number))
		work->huge_pages = (int)number;
	else if (!strcmp(key, "populate") && in_bounds(value, 0, 1, &number))
		work->populate = (int)number;
	else if (!strcmp(key, "enomem") && in_bounds(value, 0, 1, &number))
		work->until_enomem = (int)number;
	else if (!strcmp(key, "path"))
		work->path = value;
	else if (!strcmp(key, "order")) {
		for (int i = 0; i < 3; i++)
			if (!strcmp(value, orders[i])) {
				work->order = (enum touch_order)i;
				return 1;
			}
		return 0;
	} else
		return 0;
	return 1;
}
