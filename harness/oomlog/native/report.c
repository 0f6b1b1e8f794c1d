/* What is derived from the parts of a report: the properties of Report in records.py. */
#include "assembler.h"

#define UNLIMITED_KB ((int64_t)1 << 50)

bool has_counters(const struct report *r)
{
	for (int i = 0; i < COUNTERS; i++)
		if (r->counters[i].is_there)
			return true;
	return false;
}

answer report_is_memcg(const struct report *r)
{
	if (r->is_global != UNKNOWN)
		return r->is_global == YES ? NO : YES;
	return has_text(r->oom_memcg) || has_counters(r) ? YES : UNKNOWN;
}

/* Room under a limit; none where there is no such limit. */
static struct number room(const struct counter *counter)
{
	if (!counter->is_there || counter->limit_kb >= UNLIMITED_KB)
		return (struct number){0};
	return number_of(clamped((__int128)counter->limit_kb - counter->usage_kb));
}

struct number kmem_margin_kb(const struct report *r) { return room(&r->counters[KMEM]); }

static struct number margin_kb(const struct report *r)
{
	struct number memory = room(&r->counters[MEMORY]), both = room(&r->counters[MEMSW]);

	if (!r->counters[MEMORY].is_there)
		return (struct number){0};
	if (!memory.is_there || (both.is_there && both.value < memory.value))
		return both;
	return memory;
}

static const struct stat *find_stat(const struct report *r, const char *name)
{
	for (size_t i = 0; i < r->n_stats; i++)
		if (is_text(str_text(r->stats[i].name), name))
			return &r->stats[i];
	return NULL;
}

static struct number charged_anon_kb(const struct report *r)
{
	static const char *const NAMES[] = {"anon", "total_rss", "rss"};
	const struct stat *swap = find_stat(r, "swap"), *stat;

	if (swap && swap->value && find_stat(r, "cache"))
		return (struct number){0}; /* v1's rss counts pages on their way to swap, which no task maps */
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
		if ((stat = find_stat(r, NAMES[i])))
			return number_of(stat->value >> 10);
	return (struct number){0};
}

bool has_whole_table(struct report *r)
{
	const struct table *table = r->table;

	if (r->has_whole_table != UNKNOWN)
		return r->has_whole_table;
	r->has_whole_table = table && !table->damaged && table->rows &&
			     (!r->chosen_pid.is_there || find_row(table, r->chosen_pid.value) >= 0 ||
			      (r->chosen_comm && has_name(table, str_text(r->chosen_comm))));
	return r->has_whole_table;
}

static struct number in_flight_kb(struct report *r)
{
	const struct table *table = r->table;
	int position = !table ? -1 : table->position[RSS_ANON] >= 0 ? table->position[RSS_ANON] : table->position[RSS];
	uint64_t sum = 0; /* wraps, as that of numpy */
	__int128 free_kb;

	if (!r->anon_kb.is_there || position < 0 || !has_whole_table(r))
		return (struct number){0};
	for (int64_t row = 0; row < table->rows; row++)
		sum += (uint64_t)table->cells[row * table->width + position];
	free_kb = r->anon_kb.value - (__int128)(int64_t)sum * page_kb_of(r);
	return number_of(clamped(free_kb > 0 ? free_kb : 0));
}

static void list_missing(struct report *r)
{
	answer is_memcg = report_is_memcg(r);
	const struct table *table = r->table;
	const char *parts[8];
	char *p = r->missing;
	int n = 0;

	if (!r->is_complete_header)
		parts[n++] = "header";
	if (is_memcg == YES && !r->counters[MEMORY].is_there)
		parts[n++] = "usage";
	if (is_memcg == UNKNOWN)
		parts[n++] = "domain";
	if (r->is_global == YES && !r->n_zones)
		parts[n++] = "zones";
	if (!table || !(table->rows || table->damaged))
		parts[n++] = "tasks";
	else if (table->damaged)
		parts[n++] = "rows";
	if (r->summary_is_cut)
		parts[n++] = "summary";
	if (r->outcome == NO_OUTCOME)
		parts[n++] = "outcome";
	for (int i = 0; i < n; i++) {
		size_t size = strlen(parts[i]);

		if (i) {
			memcpy(p, ", ", 2);
			p += 2;
		}
		memcpy(p, parts[i], size);
		p += size;
	}
	*p = '\0';
}

/* Derives it all, once: call it when the report is given. */
void derive(struct assembler *a, struct report *r)
{
	list_missing(r);
	r->margin_kb = margin_kb(r);
	r->zone_margin_kb = request_room_kb(a, r);
	r->anon_kb = charged_anon_kb(r);
	r->in_flight_kb = in_flight_kb(r);
}

static bool is_list_name(char c) { return is_lower(c) || is_upper(c) || c == '_'; }

/* Pages by name in a line of lists: "active_anon:12 inactive_anon:3kB" has one, as sizes are none. */
static void read_line_of_lists(struct text t, struct number *const pages[], const char *const names[], size_t n)
{
	enum { LONGEST_NAME = 20, LONGEST_NUMBER = 18 };
	const char *from = t.p;

	for (const char *colon; length(t) && (colon = memchr(t.p, ':', length(t))); t.p = colon + 1) {
		struct text name = {colon, colon}, digits = {colon + 1, colon + 1};
		int64_t value = 0;

		while (name.p > from && length(name) < LONGEST_NAME && is_list_name(name.p[-1]))
			name.p--;
		while (digits.end < t.end && is_digit(*digits.end))
			digits.end++;
		if (!length(name) || !length(digits) || length(digits) > LONGEST_NUMBER ||
		    (digits.end < t.end && (*digits.end == 'k' || *digits.end == 'K')))
			continue;
		from = digits.end;
		eat_number(&digits, &value);
		for (size_t i = 0; i < n; i++) {
			bool is_it = length(name) == strlen(names[i]);

			for (size_t k = 0; is_it && k < length(name); k++)
				is_it = (is_upper(name.p[k]) ? name.p[k] - 'A' + 'a' : name.p[k]) == names[i][k];
			if (is_it)
				*pages[i] = number_of(value);
		}
	}
}

/* Report.lists: the first line of a kind counts, and in a line the last of a name. */
void read_pages(struct report *r)
{
	static const char *const NAMES[] = {"active_anon", "inactive_anon", "isolated_anon", "unevictable", "shmem"};
	enum { LISTED = sizeof NAMES / sizeof *NAMES };
	struct number *const kept[LISTED] = {&r->active_anon, &r->inactive_anon, &r->isolated_anon, &r->unevictable, &r->shmem};

	if (r->has_pages)
		return;
	r->has_pages = true;
	for (size_t i = 0; i < r->lists.n; i++) {
		struct number line[LISTED] = {0}, *const found[LISTED] = {&line[0], &line[1], &line[2], &line[3], &line[4]};

		read_line_of_lists(str_text(queue_at(&r->lists, i)), found, NAMES, LISTED);
		for (int k = 0; k < LISTED; k++)
			if (!kept[k]->is_there)
				*kept[k] = line[k];
	}
}
