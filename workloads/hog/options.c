// SPDX-License-Identifier: Apache-2.0
/* The supervisor's options. */
#include "supervise.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_number(const char *text, long low, long high, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);
	if (end == text || *end || value < low || value > high)
		return 0;
	*number = (int)value;
	return 1;
}

static int set_group(struct group *group, const char *key, const char *value)
{
	if (!strcmp(key, "name") && strlen(value) < sizeof group->name)
		strcpy(group->name, value);
	else if (!strcmp(key, "hogs"))
		return read_number(value, 1, MAX_HOGS, &group->count);
	else if (!strcmp(key, "phase"))
		return read_number(value, 0, MAX_PHASES - 1, &group->phase);
	else if (!strcmp(key, "unkillable"))
		return read_number(value, 0, 1, &group->unkillable);
	else if (!strcmp(key, "stubborn"))
		return read_number(value, 0, 1, &group->ignores_signals);
	else if (!strcmp(key, "container") && strlen(value) < sizeof group->member)
		strcpy(group->member, value);
	else if (!strcmp(key, "reads") && strlen(value) < sizeof group->reads)
		strcpy(group->reads, value);
	else if (!strcmp(key, "kind"))
		return (group->work.stressor = find_stressor(value)) != NULL;
	else
		return set_work(&group->work, key, value);
	return 1;
}

/* KEY=VALUE,...; the text is cut up. */
static void parse_group(char *text)
{
	struct group *group = &groups[n_groups];
	if (n_groups == MAX_GROUPS)
		die(EXIT_USAGE, "too many --hog");
	*group = (struct group){ .count = 1, .work = { .stressor = &stressors[0], .count = 1, .huge_pages = 1 } };
	for (char *rest, *pair = strtok_r(text, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(pair, '=');
		if (!value || (*value = 0, !set_group(group, pair, value + 1)))
			die(EXIT_USAGE, "bad --hog");
	}
	if (!group->work.bytes || !group->name[0] || n_hogs + group->count > MAX_HOGS)
		die(EXIT_USAGE, "bad --hog");
	any_unkillable |= group->unkillable;
	for (int i = 0; i < group->count; i++) {
		book->hogs[n_hogs].group = group;
		book->hogs[n_hogs++].number = i;
	}
	if (group->phase >= n_phases)
		n_phases = group->phase + 1;
	n_groups++;
}

static void add(struct texts *texts, const char *text)
{
	if (texts->n == MAX_TEXTS)
		die(EXIT_USAGE, "too many options of one kind");
	texts->text[texts->n++] = text;
}

void parse_options(struct options *options, int argc, char **argv)
{
	int ok = 1;
	for (int i = 0; i < argc; i += 2) {
		const char *option = argv[i];
		char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (!value)
			ok = 0;
		else if (!strcmp(option, "--socket"))
			options->socket = value;
		else if (!strcmp(option, "--token") && strlen(value) < sizeof options->token)
			strcpy(options->token, value);
		else if (!strcmp(option, "--rounds"))
			ok = read_number(value, 1, INT_MAX, &options->rounds);
		else if (!strcmp(option, "--first-round"))
			ok = read_number(value, 1, INT_MAX, &options->first_round);
		else if (!strcmp(option, "--deadline-ms"))
			ok = read_number(value, 1, INT_MAX, &options->deadline_ms);
		else if (!strcmp(option, "--set"))
			add(&options->settings, value);
		else if (!strcmp(option, "--group"))
			add(&options->members, value);
		else if (!strcmp(option, "--top"))
			options->top = value;
		else if (!strcmp(option, "--swap"))
			options->swap = value;
		else if (!strcmp(option, "--machine"))
			options->machine = value;
		else if (!strcmp(option, "--calibrate"))
			add(&options->calibrations, value);
		else if (!strcmp(option, "--hog"))
			parse_group(value);
		else
			ok = 0;
		if (!ok) {
			fprintf(stderr, "hog: %s %s\n", option, value ? value : "without a value");
			die(EXIT_USAGE, "unknown option or value");
		}
	}
	if (!options->socket || !n_hogs)
		die(EXIT_USAGE, "usage: hog supervise --socket PATH --token TEXT --hog name=TEXT,bytes=N,... ...");
}
