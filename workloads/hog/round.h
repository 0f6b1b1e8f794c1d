/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor and its hogs share in a round. */
#ifndef ROUND_H
#define ROUND_H
#include "hog.h"
#include <time.h>

#define MAX_HOGS 512
#define MAX_GROUPS 16
#define MAX_PHASES 16
#define MEMBER_ID 65 /* a container's ID, and a 0 */
/* include/linux/futex.h is not in musl's include path; these are ABI. */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

enum hog_state { HOG_FORKED, HOG_READY, HOG_FULL };

/* Shared between the supervisor and its hogs; touched by every hog before the round starts. */
struct shared {
	_Atomic uint32_t events;    /* futex: a hog changed state, or a child died */
	_Atomic uint32_t phase;     /* futex: hogs of phases below this number may grow */
	_Atomic uint32_t roll_call; /* futex: survivors answer it, victims cannot */
	struct {
		_Atomic uint32_t state;
		_Atomic uint32_t answered;
		_Atomic int failed; /* errno of a work that could not be done, EBADMSG for memory that changed */
		_Atomic uint64_t full_ns;
		struct progress progress;
	} hog[MAX_HOGS];
};

struct group {
	char name[12];
	int count, phase, unkillable, ignores_signals;
	char reads[12];         /* readmem: the group whose first hog is read */
	char member[MEMBER_ID]; /* container whose memcg its hogs live in; empty: the supervisor's */
	struct work work;
};

struct hog {
	const struct group *group;
	int number; /* within its group */
	pid_t pid;
	int dead, status, cleanup;
	int absent; /* not part of a calibration */
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

extern struct shared *shared;
extern struct book *book;
extern int any_unkillable, collector_fd;

long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout);
void wake_all(_Atomic uint32_t *word);
void hog_main(int index) __attribute__((noreturn));
#endif
