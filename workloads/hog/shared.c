// SPDX-License-Identifier: Apache-2.0
/* What the supervisor shares with its hogs, and how they wait for each other. */
#include "round.h"
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

struct shared *shared;
struct book *book;
int any_unkillable, collector_fd = -1;

long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void wake_all(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	futex(word, FUTEX_WAKE, INT_MAX, NULL);
}
