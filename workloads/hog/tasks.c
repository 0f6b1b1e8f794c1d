// SPDX-License-Identifier: Apache-2.0
/* Memory that more than one task takes. */
#include "take.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TREE_QUIET_NS 1000000000ull

struct share {
	struct work work;
	char *memory;
};

static void *touch_share(void *argument)
{
	struct share *share = argument;
	begin_pace();
	touch_memory(&share->work, share->memory);
	for (;;)
		pause();
	return NULL;
}

/* Cuts one mapping into shares, one for each of work->count tasks. */
static char *cut(struct work *work, struct share *shares)
{
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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

int grow_pthread(struct work *work)
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
	note_taken(memory, work->bytes);
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
int grow_clone(struct work *work)
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
	note_taken(memory, work->bytes);
	return 0;
}

/* The child runs on the parent's mm, and the parent cannot run while it does. */
int grow_vfork(struct work *work)
{
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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
		failed = touch_memory(work, memory);
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
			char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
			if (memory != MAP_FAILED)
				touch_memory(work, memory);
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

int grow_fork(struct work *work)
{
	size_t each = work->bytes / work->count / PAGE * PAGE, bytes = work->bytes;
	fork_tree(work, 0, work->count, each);
	work->bytes = each;
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int failed = memory == MAP_FAILED || touch_memory(work, memory);
	work->bytes = bytes;
	wait_for_tree(work);
	return failed ? -1 : 0;
}
