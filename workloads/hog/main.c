// SPDX-License-Identifier: Apache-2.0
/*
 * hog: the workload of an oomtrial container, one static binary.
 *
 *   hog supervise ...                            what oomtrial runs; see supervise.c
 *   hog KIND bytes=N [KEY=VALUE ...] [hold-s=N]  one way of taking memory, alone: for trying things out
 *   hog idle                                     a container that only holds a memcg
 *   hog                                          lists the kinds
 */
#include "hog.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int usage(void)
{
	fprintf(stderr, "usage: hog supervise ... | hog KIND bytes=N [KEY=VALUE ...] [hold-s=N]\n\nkinds:\n");
	for (const struct stressor *stressor = stressors; stressor->name; stressor++)
		fprintf(stderr, "  %-10s %s\n", stressor->name, stressor->what);
	fprintf(stderr, "\nkeys: bytes, step-bytes, step-ms, order=forward|backward|random, thp=0|1, populate=0|1, cycles, count, path\n");
	return EXIT_USAGE;
}

/* Nobody else ends the children of a work that runs alone. */
static void end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int run_alone(const struct stressor *stressor, int argc, char **argv)
{
	struct progress *progress = share_pages(sizeof *progress);
	struct work work = { .stressor = stressor, .count = 1, .huge_pages = 1, .progress = progress, .on_child = end_with_parent };
	unsigned hold_s = 0;

	if (!progress)
		return EXIT_SETUP;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value)
			return usage();
		*value++ = 0;
		if (!strcmp(argv[i], "hold-s"))
			hold_s = (unsigned)atoi(value);
		else if (!set_work(&work, argv[i], value)) {
			fprintf(stderr, "hog: %s=%s is not possible\n", argv[i], value);
			return EXIT_USAGE;
		}
	}
	if (!work.bytes)
		return usage();
	begin_pace();
	uint64_t start_ns = now_ns();
	if (stressor->grow(&work)) {
		perror(stressor->name);
		return EXIT_SETUP;
	}
	if (!check_taken()) {
		fprintf(stderr, "hog: memory is not as it was written\n");
		return EXIT_SETUP;
	}
	printf("{\"event\":\"full\",\"kind\":\"%s\",\"bytes\":%llu,\"ms\":%llu,\"stalls\":%u}\n", stressor->name,
	       (unsigned long long)atomic_load(&progress->bytes), (unsigned long long)(now_ns() - start_ns) / 1000000,
	       atomic_load(&progress->n_stalls));
	fflush(stdout);
	sleep(hold_s);
	remove_leftovers(&work);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "supervise"))
		return supervise(argc - 2, argv + 2);
	if (argc == 2 && !strcmp(argv[1], "idle"))
		for (;;)
			pause();
	const struct stressor *stressor = argc >= 2 ? find_stressor(argv[1]) : NULL;
	return stressor ? run_alone(stressor, argc - 2, argv + 2) : usage();
}
