// SPDX-License-Identifier: Apache-2.0
/* Hogs that hold what another one needs: its mm, or the lock of a pipe. */
#include "take.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES (64ul * 1024) /* what a pipe holds by default */

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
int grow_readmem(struct work *work)
{
	char path[32];
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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
	note_taken(memory, work->bytes);
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
int grow_pipelock(struct work *work)
{
	static const char zeros[CHUNK_BYTES];
	char *memory = map_memory(work, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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
	note_taken(memory, work->bytes);
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

/* Anonymous memory, and a thread that keeps taking the pipe's lock: it cannot die while another process holds it. */
int grow_pipewait(struct work *work)
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
