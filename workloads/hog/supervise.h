/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the supervisor share. */
#ifndef SUPERVISE_H
#define SUPERVISE_H
#include "round.h"

/* -- events.c */

void append(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define event(format, ...) append(format "\n" __VA_OPT__(,) __VA_ARGS__)
void flush_events(void);
/* Says what went wrong, with errno, and ends the supervisor. */
void die(int code, const char *what) __attribute__((noreturn));

/* -- client.c */

#define FOR_EVER (-1)
extern char reply[256]; /* of the collector, to the last request */
void connect_collector(const char *path);
/* Returns 1 for "ok", 0 for "no". */
int ask_collector(const char *request, int timeout_ms);

/* -- round.c */

extern struct group groups[MAX_GROUPS];
extern int n_groups, n_hogs, n_phases;
/* Shares pages with the hogs, and hears of those that end; -1 when it cannot. */
int prepare_rounds(void);
/* `counts`: of each group only so many; NULL for all. */
void start_hogs(uint64_t deadline_ns, const int *counts);
/* Runs the phases and the final roll call; -1 when the deadline passed first. */
int run_phases(uint64_t deadline_ns);
/* Kills all hogs, and what they forked. Returns 1 when one outlives SIGKILL. */
int end_survivors(void);
/* Waits until the memcg's usage is back at its baseline. */
void clean(int round);
void run_round(int round, int deadline_ms);

/* -- calibrate.c */

void calibrate(const char *text);

/* -- options.c */

#define MAX_TEXTS 32
struct texts {
	const char *text[MAX_TEXTS];
	int n;
};

struct options {
	const char *socket, *top, *swap, *machine;
	char token[33]; /* empty: the supervisor asks for its job */
	int rounds, first_round, deadline_ms;
	struct texts settings, members, calibrations;
};

/* The groups of hogs go to `groups`. Ends the supervisor where it does not know an option, or a value is out of bounds. */
void parse_options(struct options *options, int argc, char **argv);
#endif
