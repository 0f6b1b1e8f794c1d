// SPDX-License-Identifier: Apache-2.0
/* Calibration: whether the declared demand is what the hogs take. */
#include "supervise.h"
#include <stdio.h>
#include <stdlib.h>

#define CALIBRATION_NS 60000000000ull /* whatever the deadline of a round: nothing can hang here */
#define WHERE_BYTES 80 /* a level, or "container:" and an ID */

/* Runs some of the hogs without any record; the usage at a limit once all of them are full, -1 when they do not get there. */
static long long usage_of(const char *name, const char *where, const int *counts, long *ooms)
{
	char request[WHERE_BYTES + 64];
	long long usage = -1;
	if (!ask_collector("begin 0", 60000))
		die(EXIT_COLLECTOR, "the collector refuses the calibration");
	start_hogs(now_ns() + 60000000000ull, counts);
	int hung = run_phases(now_ns() + CALIBRATION_NS) != 0;
	for (int i = 0; i < n_hogs; i++)
		hung |= book->hogs[i].dead && !book->hogs[i].absent;
	snprintf(request, sizeof request, "measure %s %s", name, where);
	if (!hung && ask_collector(request, 60000))
		sscanf(reply, "ok %lld %ld", &usage, ooms);
	if (end_survivors())
		exit(EXIT_HUNG);
	clean(0);
	return usage;
}

static int parse_counts(const char *text, int *counts)
{
	for (int i = 0; i < n_groups; i++) {
		char *end;
		counts[i] = (int)strtol(text, &end, 10);
		if (end == text || (*end != (i + 1 < n_groups ? ',' : 0)))
			return 0;
		text = end + 1;
	}
	return 1;
}

/* WHERE;FIT;OVER;CAPACITY;RESERVE: the hogs that are to survive at a limit fit there, and with one more they do not. */
void calibrate(const char *text)
{
	char where[WHERE_BYTES], fit_text[128], over_text[128];
	int fit[MAX_GROUPS], over[MAX_GROUPS];
	long long capacity, reserve;
	long ooms = 0, unused;
	if (sscanf(text, "%79[^;];%127[^;];%127[^;];%lld;%lld", where, fit_text, over_text, &capacity, &reserve) != 5 ||
	    !parse_counts(fit_text, fit) || !parse_counts(over_text, over))
		die(EXIT_USAGE, "bad --calibrate");
	long long fitting = usage_of("fit", where, fit, &ooms);
	if (!ask_collector("limit lift", 60000))
		die(EXIT_COLLECTOR, "the collector cannot lift the limit");
	long long exceeding = usage_of("over", where, over, &unused);
	if (!ask_collector("limit restore", 60000))
		die(EXIT_COLLECTOR, "the collector cannot restore the limit");
	event("{\"event\":\"calibration\",\"limit\":\"%s\",\"fit_bytes\":%lld,\"over_bytes\":%lld,\"capacity_bytes\":%lld,\"reserve_bytes\":%lld,"
	      "\"oom\":%ld}",
	      where, fitting, exceeding, capacity, reserve, ooms);
	flush_events();
	if (fitting < 0 || ooms || fitting > capacity - reserve || exceeding <= capacity)
		exit(EXIT_DEMAND);
}
