// SPDX-License-Identifier: Apache-2.0
/* The ways to take memory. Amounts are exact: every page is written with its own number, and can be checked. */
#include "hog.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define SHM_PREFIX "/dev/shm/hog-"
#define STALL_SAMPLE 64 /* pages between two looks at the CPU time */
#define TREE_QUIET_NS 1000000000ull
#define STACK_BYTES (64ul * 1024)
#define CHUNK_BYTES (64ul * 1024) /* what a pipe holds by default */
#define PIPE_BYTES (1ul << 20) /* fs.pipe-max-size as the kernel has it */

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
		pace.system_ns = system;
		pace.pages = 0;
		now = now_ns();
	} else if (++pace.pages >= STALL_SAMPLE) {
		pace.system_ns = system_ns();
		pace.pages = 0;
	}
	pace.last_ns = now;
}

static void rest(struct work *work, size_t done)
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

static void stamp(char *page)
{
	*(volatile uint64_t *)page = (uint64_t)(uintptr_t)page;
}

/* Where the last grown memory lies; one a process. */
static char *taken;
static size_t taken_bytes;

static char *map(struct work *work, int flags, int fd)
{
	if (work->populate)
		flags |= MAP_POPULATE;
	char *memory = mmap(NULL, work->bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
	/* EINVAL: a kernel without THP */
	if (memory != MAP_FAILED && !work->huge_pages && madvise(memory, work->bytes, MADV_NOHUGEPAGE) && errno != EINVAL)
		return MAP_FAILED;
	return memory;
}

static int touch(struct work *work, char *memory)
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
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

static int grow_vm(struct work *work)
{
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (memory == MAP_FAILED)
		return -1;
	for (int cycle = 0; cycle < work->cycles; cycle++) {
		if (touch(work, memory) || madvise(memory, work->bytes, MADV_DONTNEED))
			return -1;
		atomic_store(&work->progress->bytes, 0);
	}
	return touch(work, memory);
}

static int grow_mlock(struct work *work)
{
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

static int grow_file(struct work *work, int fd)
{
	if (fd < 0 || ftruncate(fd, work->bytes))
		return -1;
	char *memory = map(work, MAP_SHARED, fd);
	close(fd);
	return memory == MAP_FAILED ? -1 : touch(work, memory);
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

/* -- more than one task */

struct share {
	struct work work;
	char *memory;
};

static void *touch_share(void *argument)
{
	struct share *share = argument;
	begin_pace();
	touch(&share->work, share->memory);
	for (;;)
		pause();
	return NULL;
}

/* Cuts one mapping into shares, one for each of work->count tasks. */
static char *cut(struct work *work, struct share *shares)
{
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t each = work->bytes / work->count / PAGE * PAGE;
	for (int i = 0; memory != MAP_FAILED && i < work->count; i++) {
		shares[i] = (struct share){ *work, memory + i * each };
		shares[i].work.bytes = i + 1 < work->count ? each : work->bytes - i * each;
	}
	return memory;
}

static void wait_for_shares(const struct work *work)
{
	struct timespec pause = { 0, 2000000 };
	while (atomic_load(&work->progress->bytes) < work->bytes)
		nanosleep(&pause, NULL);
}

static int grow_pthread(struct work *work)
{
	static struct share shares[MAX_SHARERS];
	pthread_attr_t attributes;
	pthread_t thread;
	char *memory = cut(work, shares);
	if (memory == MAP_FAILED)
		return -1;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (int i = 0; i < work->count; i++)
		if ((errno = pthread_create(&thread, &attributes, touch_share, &shares[i])))
			return -1;
	wait_for_shares(work);
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

static int run_share(void *argument)
{
	struct share *share = argument;
	if (share->work.on_child)
		share->work.on_child();
	touch_share(share);
	return 0;
}

/* Processes that share one mm, and are no threads of each other. */
static int grow_clone(struct work *work)
{
	static struct share shares[MAX_SHARERS];
	/* Mapped here: the supervisor locks what the binary has, used or not. */
	char *stacks = mmap(NULL, work->count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = cut(work, shares);
	if (memory == MAP_FAILED || stacks == MAP_FAILED)
		return -1;
	for (int i = 0; i < work->count; i++) {
		shares[i].work.shares_tls = 1;
		if (clone(run_share, stacks + (i + 1) * STACK_BYTES, CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, &shares[i]) < 0)
			return -1;
	}
	wait_for_shares(work);
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

/* The child runs on the parent's mm, and the parent cannot run while it does. */
static int grow_vfork(struct work *work)
{
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	volatile int failed = 0;
	if (memory == MAP_FAILED)
		return -1;
	pid_t pid = vfork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		if (work->on_child)
			work->on_child();
		begin_pace();
		failed = touch(work, memory);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return failed;
}

/* A tree: each child takes its share, and forks the next two. */
static void fork_tree(struct work *work, int first, int count, size_t each)
{
	for (int child = 2 * first + 1; child <= 2 * first + 2 && child < count; child++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (work->on_child)
				work->on_child();
			fork_tree(work, child, count, each);
			work->bytes = each;
			begin_pace();
			char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
			if (memory != MAP_FAILED)
				touch(work, memory);
			for (;;)
				pause();
		}
	}
}

/* Nobody knows which of the tree were killed: it is done when it has all, or takes no more. */
static void wait_for_tree(const struct work *work)
{
	uint64_t seen = 0, since = now_ns();
	while (seen < work->bytes / work->count / PAGE * PAGE * work->count && now_ns() < since + TREE_QUIET_NS) {
		struct timespec pause = { 0, 5000000 };
		nanosleep(&pause, NULL);
		uint64_t bytes = atomic_load(&work->progress->bytes);
		if (bytes != seen)
			since = now_ns();
		seen = bytes;
	}
}

static int grow_fork(struct work *work)
{
	size_t each = work->bytes / work->count / PAGE * PAGE, bytes = work->bytes;
	fork_tree(work, 0, work->count, each);
	work->bytes = each;
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int failed = memory == MAP_FAILED || touch(work, memory);
	work->bytes = bytes;
	wait_for_tree(work);
	return failed ? -1 : 0;
}

/* -- slow to exit */

/* Every other page has other rights: as many VMAs as pages (stay below vm.max_map_count). */
static int grow_vma(struct work *work)
{
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (memory == MAP_FAILED || touch(work, memory))
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

/* -- holding what another one needs */

static void own_pages(struct work *work, char *memory, size_t bytes)
{
	for (size_t done = 0; done < bytes; done += PAGE) {
		stamp(memory + done);
		made_progress(work, PAGE);
	}
}

/*
 * Reads what another process has into pages of its own. The kernel holds the other one's mm from the first byte of a read to
 * the last one, and waits in between for the pages that it copies to.
 */
static int grow_readmem(struct work *work)
{
	char path[32];
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	snprintf(path, sizeof path, "/proc/%d/mem", work->peer);
	errno = 0;
	int fd = work->peer > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (memory == MAP_FAILED || (fd < 0 && errno == EACCES))
		return -1;
	size_t done = 0;
	while (fd >= 0 && done < work->bytes) {
		size_t there = done % work->peer_bytes, some = work->bytes - done;
		some = some < CHUNK_BYTES ? some : CHUNK_BYTES;
		some = some < work->peer_bytes - there ? some : work->peer_bytes - there;
		ssize_t n = pread(fd, memory + done, some, (off_t)(atomic_load(&work->peer_progress->address) + there));
		size_t read = n > 0 ? (size_t)n / PAGE * PAGE : 0;
		if (!read)
			break; /* it is dead, or being torn down */
		own_pages(work, memory + done, read);
		done += read;
	}
	if (fd >= 0)
		close(fd);
	own_pages(work, memory + done, work->bytes - done);
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

static int shared_pipe[2] = { -1, -1 };

int share_pipe(void)
{
	return shared_pipe[0] >= 0 || !pipe2(shared_pipe, O_NONBLOCK | O_CLOEXEC);
}

/*
 * Takes its memory by reads from the pipe that all share: the kernel copies to pages that are not there yet with the lock of
 * the pipe held (fs/pipe.c), and waits for each of them.
 */
static int grow_pipelock(struct work *work)
{
	static const char zeros[CHUNK_BYTES];
	char *memory = map(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (memory == MAP_FAILED || !share_pipe())
		return -1;
	for (size_t done = 0; done < work->bytes;) {
		size_t some = work->bytes - done < CHUNK_BYTES ? work->bytes - done : CHUNK_BYTES;
		if (write(shared_pipe[1], zeros, some) < 0 && errno != EAGAIN && errno != ENOMEM && errno != EFAULT)
			return -1;
		ssize_t n = read(shared_pipe[0], memory + done, some);
		if (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != EFAULT)
			return -1;
		if (n > 0) {
			size_t read = (size_t)n / PAGE * PAGE;
			own_pages(work, memory + done, read);
			done += read;
		}
	}
	taken = memory;
	taken_bytes = work->bytes;
	return 0;
}

static void *take_pipe_lock(void *unused)
{
	struct timespec pause = { 0, 200000 };
	int bytes;
	while (!ioctl(shared_pipe[0], FIONREAD, &bytes)) /* waits for the lock, whatever signal comes */
		nanosleep(&pause, NULL);
	return unused;
}

/* Anonymous memory, and a thread that goes on taking the lock of the pipe: it cannot die while another one holds it. */
static int grow_pipewait(struct work *work)
{
	pthread_attr_t attributes;
	pthread_t thread;
	if (!share_pipe() || grow_vm(work))
		return -1;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	errno = pthread_create(&thread, &attributes, take_pipe_lock, NULL);
	return errno ? -1 : 0;
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

int check_taken(void)
{
	for (size_t done = 0; done < taken_bytes; done += PAGE)
		if (*(volatile uint64_t *)(taken + done) != (uint64_t)(uintptr_t)(taken + done))
			return 0;
	return 1;
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
