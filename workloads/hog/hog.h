/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the hog binary share. */
#ifndef HOG_H
#define HOG_H
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096ul
#define MAX_SHARERS 64
#define MAX_STALLS 64
/* Shorter waits are not kept: a page fault under emulation takes some 20 us, a charge that meets the OOM killer milliseconds. */
#define STALL_NS 1000000ull

enum { EXIT_USAGE = 64, EXIT_COLLECTOR = 65, EXIT_HUNG = 66, EXIT_UNCLEAN = 67, EXIT_SETUP = 68, EXIT_DEMAND = 69 };

enum touch_order { FORWARD, BACKWARD, RANDOM };

/* A time in which a hog wanted memory and got none. */
struct stall {
	uint64_t start_ns, end_ns;
	uint64_t system_ns; /* CPU time in the kernel meanwhile, and of at most the STALL_SAMPLE pages before */
};

/* How far a hog has come. Shared with the supervisor; one writer (or, for sharers of a hog, additions only). */
struct progress {
	_Atomic uint64_t bytes;
	_Atomic uint64_t begin_ns;
	_Atomic uint64_t address; /* of what it takes; 0: not yet mapped */
	_Atomic uint32_t n_stalls; /* may exceed MAX_STALLS: the rest was not kept, */
	_Atomic uint64_t longest_lost_ns; /* but how long the longest of them was */
	struct stall stalls[MAX_STALLS];
};

/* What a hog is to do. */
struct work {
	const struct stressor *stressor;
	size_t bytes;
	size_t step_bytes; /* rests after every so many bytes */
	int step_ms;
	enum touch_order order;
	int huge_pages;   /* as the system has them; else MADV_NOHUGEPAGE */
	int populate;     /* MAP_POPULATE in place of touches */
	int until_enomem; /* grows until the kernel says ENOMEM, then gives its memory back */
	int cycles;       /* balloon: grows and gives back so often before it grows to stay */
	int count;        /* threads, sharers or children */
	const char *path; /* file to be read */
	/* Told of each process that the work forks, in that process; NULL when nobody asks. */
	void (*on_child)(void);
	pid_t peer; /* readmem: whose memory is read, */
	const struct progress *peer_progress;
	size_t peer_bytes;
	int shares_tls;         /* no clock of its own: its stalls are not kept */
	struct progress *progress;
};

struct stressor {
	const char *name; /* stress-ng's, where it has the same thing */
	const char *what;
	/* Takes work->bytes; 0, or -1 with errno. The memory stays until the process ends. */
	int (*grow)(struct work *work);
	enum { SURVIVES = 1, ON_PIPE = 2 } traits; /* its memory outlives the process; it takes the lock of the pipe that all share */
};

extern const struct stressor stressors[];
const struct stressor *find_stressor(const char *name);
/* Reads KEY=VALUE into a work; 0 when it has no such key or the value is out of bounds. */
int set_work(struct work *work, const char *key, const char *value);
/* Whether every page that this process took still holds what was written there. */
int check_taken(void);
/* Frees what outlives its process: page cache, files in /dev/shm. */
void remove_leftovers(const struct work *work);
/* The pipe whose lock hogs of a kind that is ON_PIPE take; once, before they are forked. 0 when there is none. */
int share_pipe(void);

uint64_t now_ns(void);
/* Zeroed memory that children share with us; NULL, said on stderr, when there is none. */
void *share_pages(size_t bytes);
/* Says that the calling thread begins to grow now: what it waited before is no stall. */
void begin_pace(void);
void made_progress(struct work *work, size_t bytes);

int supervise(int argc, char **argv);
int run_alone(const struct stressor *stressor, int argc, char **argv);
#endif
