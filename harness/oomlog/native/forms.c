/* Line forms: each function here reads what the parse_* function of the same form reads whole, and nothing else.
 * What is cut, torn or unusual is for that function. Texts are of ASCII without control characters. */
#include "native.h"

enum { LONGEST_SUMMARY = 2100 };

bool read_header(struct buffer *out, struct text text, struct text *comm)
{
	static const char INVOKED[] = " invoked oom-killer: gfp_mask=0x";
	struct text t = right_trimmed(text), flags = {0}, nodemask = {0};
	const char *p = find_last(t, INVOKED);
	int64_t order, adj;
	uint64_t mask = 0;
	bool has_adj = false, has_old_adj = false;
	int digits = 0;

	if (!p || find(t, INVOKED) != p || p == t.p || p - t.p > LONGEST_COMM)
		return false;
	*comm = (struct text){t.p, p};
	t.p = p + strlen(INVOKED);
	for (; t.p < t.end && (is_digit(*t.p) || (*t.p >= 'a' && *t.p <= 'f')); t.p++, digits++)
		mask = mask << 4 | (uint64_t)(is_digit(*t.p) ? *t.p - '0' : *t.p - 'a' + 10);
	if (!digits || digits > 15)
		return false;
	if (eat_char(&t, '(')) {
		p = memchr(t.p, ')', length(t));
		if (!p)
			return false;
		flags = (struct text){t.p, p};
		t.p = p + 1;
	}
	if (eat(&t, ", nodemask=")) {
		nodemask.p = t.p;
		if (eat_char(&t, '(')) {
			p = memchr(t.p, ')', length(t));
			if (!p)
				return false;
			t.p = p + 1;
		} else {
			while (t.p < t.end && (is_digit(*t.p) || *t.p == '-'))
				t.p++;
		}
		nodemask.end = t.p;
	}
	if (!eat(&t, ", ") || (eat_char(&t, ' '), !eat(&t, "order=")) || !eat_signed(&t, &order))
		return false;
	if (eat(&t, ", oomkilladj=") || eat(&t, ", oom_adj=")) {
		if (!eat_signed(&t, &adj))
			return false;
		has_old_adj = true;
	}
	if (eat(&t, ", oom_score_adj=")) {
		if (!eat_signed(&t, &adj))
			return false;
		has_adj = true;
	}
	if (length(t) || !(has_adj || has_old_adj))
		return false;
	put_array(out, 8);
	put_word(out, "Header");
	put_text(out, *comm);
	put_number(out, (int64_t)mask);
	if (flags.p)
		put_text(out, flags);
	else
		put_nothing(out);
	put_number(out, order);
	if (nodemask.p)
		put_text(out, nodemask);
	else
		put_nothing(out);
	put_optional(out, has_adj, adj);
	put_bool(out, true);
	return true;
}

/* A field up to the next comma. */
static bool eat_field(struct text *t, const char *name, struct text *value)
{
	struct text rest = *t;
	const char *comma;

	if (!eat(&rest, name) || !(comma = memchr(rest.p, ',', length(rest))))
		return false;
	*value = (struct text){rest.p, comma};
	t->p = comma;
	return true;
}

static bool is_of_range(char c) { return is_digit(c) || c == '-'; }

static void put_field(struct buffer *out, struct text t)
{
	if (t.p)
		put_text(out, t);
	else
		put_nothing(out);
}

/* domain.parse_summary: names of memcgs with commas are left to it. */
static bool read_summary(struct buffer *out, struct text text)
{
	struct text t = right_trimmed(text), constraint, nodemask = {0}, cpuset = {0}, mems = {0}, oom_memcg = {0}, memcg = {0}, comm, tail;
	int64_t pid, uid;
	bool is_global;
	const char *p;

	if (length(t) > LONGEST_SUMMARY || !eat_field(&t, "oom-kill:constraint=", &constraint) || !length(constraint) ||
	    !is_made_of(constraint, is_word) || !eat(&t, ",nodemask="))
		return false;
	nodemask.p = t.p;
	if (eat_char(&t, '(')) {
		if (!(p = memchr(t.p, ')', length(t))))
			return false;
		t.p = p + 1;
	} else {
		while (t.p < t.end && is_of_range(*t.p))
			t.p++;
	}
	nodemask.end = t.p;
	if (eat_field(&t, ",cpuset=", &cpuset) &&
	    (!eat_field(&t, ",mems_allowed=", &mems) || !is_made_of(mems, is_of_range)))
		return false;
	if (eat_field(&t, ",oom_memcg=", &oom_memcg) && (!length(oom_memcg) || *oom_memcg.p != '/'))
		return false;
	is_global = !oom_memcg.p && eat(&t, ",global_oom");
	if (eat_field(&t, ",task_memcg=", &memcg) && (!length(memcg) || *memcg.p != '/'))
		return false;
	if (!eat(&t, ",task=") || !(p = find_last(t, ",pid=")) || p - t.p > LONGEST_COMM)
		return false;
	comm = (struct text){t.p, p};
	tail = (struct text){p, t.end};
	if (!eat(&tail, ",pid=") || !eat_number(&tail, &pid) || !eat(&tail, ",uid=") || !eat_number(&tail, &uid) || length(tail))
		return false;
	put_array(out, 12);
	put_word(out, "Summary");
	put_text(out, constraint);
	put_text(out, nodemask);
	put_field(out, cpuset);
	put_field(out, mems);
	put_field(out, oom_memcg);
	put_bool(out, is_global);
	put_field(out, memcg);
	put_text(out, comm);
	put_number(out, pid);
	put_number(out, uid);
	put_bool(out, true);
	return true;
}

/* header.parse_cpu_line */
static bool read_cpu(struct buffer *out, struct text t)
{
	static const char KDUMP[] = " Kdump: loaded";
	struct text comm, kernel = {0}, rest;
	const char *not_tainted, *tainted, *p;
	int64_t pid, skipped;

	if (eat(&t, "Pid: ")) {
		if (!eat_number(&t, &pid) || !eat(&t, ", comm: "))
			return false;
	} else {
		if (eat(&t, "CPU: ") && (!eat_number(&t, &skipped) || !eat_char(&t, ' ')))
			return false;
		if (eat(&t, "UID: ") && (!eat_number(&t, &skipped) || !eat_char(&t, ' ')))
			return false;
		if (!eat(&t, "PID: ") || !eat_number(&t, &pid) || !eat(&t, " Comm: "))
			return false;
	}
	not_tainted = find(t, " Not tainted");
	tainted = find(t, " Tainted: ");
	if (!(p = not_tainted ? not_tainted : tainted) || (not_tainted && tainted))
		return false;
	comm = (struct text){t.p, p};
	if (length(comm) >= strlen(KDUMP) && !memcmp(comm.end - strlen(KDUMP), KDUMP, strlen(KDUMP)))
		comm.end -= strlen(KDUMP);
	if (find(comm, " Kdump: loaded"))
		return false;
	rest = (struct text){p, t.end};
	if (not_tainted) {
		eat(&rest, " Not tainted");
	} else {
		eat(&rest, " Tainted: ");
		while (rest.p < rest.end && (is_upper(*rest.p) || *rest.p == ' ' || *rest.p == '-'))
			rest.p++;
	}
	eat_blanks(&rest);
	if (length(rest)) {
		kernel.p = rest.p;
		if (!eat_number(&rest, &skipped) || !eat_char(&rest, '.') || !eat_number(&rest, &skipped))
			return false;
		while (rest.p < rest.end && !is_blank(*rest.p))
			rest.p++;
		kernel.end = rest.p;
		if (length(rest) && *rest.p != ' ')
			return false;
	}
	put_array(out, 4);
	put_word(out, "CpuLine");
	put_number(out, pid);
	put_text(out, comm);
	put_field(out, kernel);
	return true;
}

static bool is_of_list(char c) { return is_digit(c) || c == '-' || c == ','; }

/* header.parse_cpuset */
static bool read_cpuset(struct buffer *out, struct text t)
{
	const char *p = find(t, "cpuset="), *q = find(t, " mems_allowed=");
	struct text comm = {0}, name, mems;

	if (!p || !q || q < p || find_last(t, "cpuset=") != p || find_last(t, " mems_allowed=") != q)
		return false;
	if (p > t.p) {
		if (p[-1] != ' ')
			return false;
		comm = (struct text){t.p, p - 1};
	}
	name = (struct text){p + strlen("cpuset="), q};
	mems = (struct text){q + strlen(" mems_allowed="), t.end};
	if (name.p > name.end || !is_made_of(mems, is_of_list))
		return false;
	put_array(out, 4);
	put_word(out, "Cpuset");
	put_field(out, comm);
	put_text(out, name);
	put_text(out, mems);
	return true;
}

static bool read_task_in(struct buffer *out, struct text t)
{
	static const char MIDDLE[] = " killed as a result of limit of ";
	const char *p;

	if (!eat(&t, "Task in ") || !(p = find(t, MIDDLE)) || find_last(t, MIDDLE) != p || p + strlen(MIDDLE) == t.end)
		return false;
	put_array(out, 3);
	put_word(out, "TaskIn");
	put_text(out, (struct text){t.p, p});
	put_text(out, (struct text){p + strlen(MIDDLE), t.end});
	return true;
}

static bool read_limit(struct buffer *out, struct text t)
{
	if (!eat(&t, "Memory limit reached of cgroup ") || !length(t))
		return false;
	put_array(out, 2);
	put_word(out, "LimitReached");
	put_text(out, t);
	return true;
}

static bool read_usage(struct buffer *out, struct text t)
{
	static const char *const COUNTERS[] = {"memory", "memory+swap", "kmem", "swap"};
	int64_t usage, limit, failcnt;

	for (size_t i = 0; i < sizeof COUNTERS / sizeof *COUNTERS; i++) {
		struct text rest = t;

		if (!eat(&rest, COUNTERS[i]) || !eat_size(&rest, ": usage ", &usage))
			continue;
		if (!eat_size(&rest, ", limit ", &limit) || !eat(&rest, ", failcnt ") || !eat_number(&rest, &failcnt))
			return false;
		put_array(out, 5);
		put_word(out, "Usage");
		put_word(out, COUNTERS[i]);
		put_number(out, usage);
		put_number(out, limit);
		put_number(out, failcnt);
		return true;
	}
	return false;
}

/* A size further on in the line, in kB or KB: 1 there, 0 not there, -1 not to be told. */
static int field_kb(struct text t, const char *name, int64_t *kb)
{
	const char *p = find(t, name);

	if (!p)
		return 0;
	t.p = p + strlen(name);
	if (!eat_number(&t, kb) || length(t) < 2 || (*t.p != 'k' && *t.p != 'K') || t.p[1] != 'B')
		return -1;
	return 1;
}

static bool eat_node(struct text *t, int64_t *node, bool *has_node)
{
	*has_node = eat(t, "Node ");
	return !*has_node || (eat_number(t, node) && eat_char(t, ' '));
}

static struct text eat_name(struct text *t)
{
	struct text name = {t->p, t->p};

	while (t->p < t->end && is_word(*t->p))
		t->p++;
	name.end = t->p;
	return name;
}

/* meminfo.parse_zone */
static bool read_zone(struct buffer *out, struct text t)
{
	int64_t node = 0, free_kb, boost, min, low, high, highatomic = 0, reserved = 0, cma = 0;
	struct text whole = t, name;
	int has_highatomic, has_reserved, has_cma;
	bool has_node;

	if (!eat_node(&t, &node, &has_node))
		return false;
	name = eat_name(&t);
	if (!length(name) || !eat_size(&t, " free:", &free_kb) || !eat_char(&t, ' '))
		return false;
	if (eat_size(&t, "boost:", &boost) && !eat_char(&t, ' '))
		return false;
	if (!eat_size(&t, "min:", &min) || !eat_size(&t, " low:", &low) || !eat_size(&t, " high:", &high))
		return false;
	has_highatomic = field_kb(whole, "free_highatomic:", &highatomic);
	has_reserved = field_kb(whole, "reserved_highatomic:", &reserved);
	has_cma = field_kb(whole, "free_cma:", &cma);
	if (has_highatomic < 0 || has_reserved < 0 || has_cma < 0)
		return false;
	put_array(out, 9);
	put_word(out, "Zone");
	put_optional(out, has_node, node);
	put_text(out, name);
	put_number(out, free_kb);
	put_number(out, min);
	put_number(out, low);
	put_number(out, high);
	if (has_highatomic && highatomic)
		put_number(out, highatomic);
	else
		put_optional(out, has_reserved, reserved);
	put_optional(out, has_cma, cma);
	return true;
}

static bool read_reserve(struct buffer *out, struct text t)
{
	enum { MOST = 64 };
	int64_t pages[MOST];
	size_t n = 0;

	if (!eat(&t, "lowmem_reserve[]:"))
		return false;
	while (n < MOST && length(t) > 1 && *t.p == ' ' && is_digit(t.p[1])) {
		t.p++;
		if (!eat_number(&t, &pages[n++]))
			return false;
	}
	if (!n || n == MOST || (length(t) && *t.p != ' '))
		return false;
	put_array(out, 2);
	put_word(out, "Reserve");
	put_array(out, n);
	for (size_t i = 0; i < n; i++)
		put_number(out, pages[i]);
	return true;
}

/* meminfo.parse_buddy */
static bool read_buddy(struct buffer *out, struct text t)
{
	int64_t node = 0, skipped;
	struct text name, blocks, first;
	bool has_node;
	const char *p;

	if (!eat_node(&t, &node, &has_node))
		return false;
	name = eat_name(&t);
	if (!length(name) || !eat(&t, ": ") || !(p = memchr(t.p, '=', length(t))))
		return false;
	first = blocks = (struct text){t.p, p};
	if (!eat_number(&first, &skipped) || !eat_char(&first, '*') || !eat_number(&first, &skipped) || !eat(&first, "kB "))
		return false;
	t.p = p;
	if (!eat_size(&t, "= ", &skipped))
		return false;
	put_array(out, 5);
	put_word(out, "Buddy");
	put_optional(out, has_node, node);
	put_text(out, name);
	put_text(out, blocks);
	put_bool(out, true);
	return true;
}

/* meminfo.parse_lists */
static bool read_lists(struct buffer *out, struct text t)
{
	struct text rest;
	int64_t skipped;

	while (t.p < t.end && is_blank(*t.p))
		t.p++;
	rest = t;
	if (!(eat(&rest, "active_anon:") || eat(&rest, "Active_anon:") || eat(&rest, "unevictable:") || eat(&rest, "mapped:")) ||
	    !eat_number(&rest, &skipped) || !eat_char(&rest, ' '))
		return false;
	put_array(out, 2);
	put_word(out, "Lists");
	put_text(out, t);
	return true;
}

static bool read_swap(struct buffer *out, struct text t)
{
	struct text kind = {t.p, t.p};
	int64_t kb;

	if (!eat(&t, "Total") && !eat(&t, "Free"))
		return false;
	kind.end = t.p;
	if (!eat(&t, " swap"))
		return false;
	eat_blanks(&t);
	if (!eat_char(&t, '=') && !eat_char(&t, ':'))
		return false;
	eat_blanks(&t);
	if (!eat_size(&t, "", &kb))
		return false;
	put_array(out, 3);
	put_word(out, "Swap");
	put_text(out, kind);
	put_number(out, kb);
	return true;
}

static bool read_ram(struct buffer *out, struct text t)
{
	int64_t pages;

	if (!eat_number(&t, &pages) || !eat(&t, " pages ") || (eat(&t, "of "), !eat(&t, "RAM")) || length(t))
		return false;
	put_array(out, 2);
	put_word(out, "Ram");
	put_number(out, pages);
	return true;
}

static bool read_protection(struct buffer *out, struct text t)
{
	int64_t min, low;

	if (!eat_size(&t, "Memory cgroup min protection ", &min) || !eat_size(&t, " -- low protection ", &low) || length(t))
		return false;
	put_array(out, 3);
	put_word(out, "Protection");
	put_number(out, min);
	put_number(out, low);
	return true;
}

/* "free:21725 free_pcp:4560": nothing but pages by name */
bool is_list(struct text t)
{
	int64_t skipped;

	do {
		struct text name = eat_name(&t);

		if (!length(name) || !eat_char(&t, ':') || !eat_number(&t, &skipped))
			return false;
	} while (eat_char(&t, ' '));
	return !length(t);
}

bool read_part(struct buffer *out, enum form form, struct text text)
{
	switch (form) {
	case SUMMARY: return read_summary(out, text);
	case CPU: return read_cpu(out, text);
	case CPUSET: return read_cpuset(out, text);
	case TASK_IN: return read_task_in(out, text);
	case LIMIT: return read_limit(out, text);
	case USAGE: return read_usage(out, text);
	case ZONE: return read_zone(out, text);
	case RESERVE: return read_reserve(out, text);
	case BUDDY: return read_buddy(out, text);
	case LISTS: return read_lists(out, text);
	case SWAP: return read_swap(out, text);
	case RAM: return read_ram(out, text);
	case PROTECTION: return read_protection(out, text);
	default: return false;
	}
}

/* tasks.parse_table_head, for columns that are known */
bool read_table_head(struct text text, struct head *head)
{
	static const char *const COLUMNS[] = {
		"uid", "tgid", "total_vm", "rss", "rss_anon", "rss_file", "rss_shmem", "nr_ptes", "nr_pmds", "pgtables_bytes",
		"swapents", "cpu", "oom_adj", "oom_score_adj",
	};
	struct text t = trimmed(text);
	int n = 0;

	if (!eat_char(&t, '[') || (eat_blanks(&t), !eat(&t, "pid")) || (eat_blanks(&t), !eat_char(&t, ']')) || !eat_blanks(&t))
		return false;
	head->columns[n++] = text_of("pid", 3);
	for (;;) {
		struct text word = {t.p, t.p};
		size_t i, known = sizeof COLUMNS / sizeof *COLUMNS;

		while (t.p < t.end && *t.p != ' ')
			t.p++;
		word.end = t.p;
		if (length(word) == 4 && begins(word, "name"))
			break;
		for (i = 0; i < known; i++)
			if (length(word) == strlen(COLUMNS[i]) && begins(word, COLUMNS[i]))
				break;
		if (i == known || n == MAX_COLUMNS || (n <= 3 && strcmp(COLUMNS[i], COLUMNS[n - 1])) || !eat_blanks(&t))
			return false;
		head->columns[n++] = text_of(COLUMNS[i], strlen(COLUMNS[i]));
	}
	head->n_columns = n;
	return n > 3 && !length(t);
}

/* domain.parse_stats_head: the one-line form, or a head whose values follow (`is_whole` tells). */
bool read_stats_head(struct buffer *out, struct text text, struct text *memcg, bool *is_whole)
{
	struct text t = text, values;
	const char *colon;
	size_t n = 0;
	bool has_cache = false;

	if (!eat(&t, "Memory cgroup stats for ") || !(colon = memchr(t.p, ':', length(t))))
		return false;
	*memcg = (struct text){t.p, colon};
	t.p = colon + 1;
	t = trimmed(t);
	*is_whole = length(t) > 0;
	if (!*is_whole)
		return true;
	for (int pass = 0; pass < 2; pass++) {
		values = t;
		if (pass) {
			put_array(out, 3);
			put_word(out, "StatsHead");
			put_text(out, *memcg);
			put_map(out, n);
		}
		while (length(values)) {
			struct text name = eat_name(&values);
			int64_t kb;

			if (!length(name) || !eat_char(&values, ':') || !eat_number(&values, &kb) || !eat(&values, "KB") ||
			    kb > INT64_MAX >> 10 || (length(values) && !eat_blanks(&values)))
				return false;
			has_cache = has_cache || (length(name) == 5 && begins(name, "cache"));
			n += !pass;
			if (pass) {
				put_text(out, name);
				put_number(out, kb << 10);
			}
		}
		if (!has_cache)
			return false;
	}
	return true;
}

/* tasks.ROW_TEXT and, not anchored, tasks.ROW_SHAPE */
bool is_row(struct text text, bool is_anchored)
{
	for (struct text t = text; t.p < t.end; t.p = text.p) {
		int numbers = 0;
		const char *p, *open = is_anchored ? t.p : memchr(t.p, '[', length(t));

		if (!open || *open != '[')
			return false;
		text.p = t.p = open + 1;
		eat_blanks(&t);
		for (p = t.p; t.p < t.end && is_digit(*t.p); t.p++)
			;
		if (t.p > p && eat_char(&t, ']')) {
			for (;;) {
				struct text next = t;

				if (!eat_blanks(&next) || (eat_char(&next, '-'), next.p == next.end) || !is_digit(*next.p))
					break;
				while (next.p < next.end && is_digit(*next.p))
					next.p++;
				t = next;
				numbers++;
			}
			/* what follows is a blank, and no number */
			if (numbers >= 6 && length(t) && *t.p == ' ')
				return true;
		}
		if (is_anchored)
			return false;
	}
	return false;
}

/* tasks.ROW_LIKE */
bool is_like_row(struct text t)
{
	for (const char *open; (open = memchr(t.p, '[', length(t))); t.p = open + 1) {
		struct text rest = {open + 1, t.end};
		const char *p;

		eat_blanks(&rest);
		for (p = rest.p; rest.p < rest.end && is_digit(*rest.p); rest.p++)
			;
		if (rest.p > p && eat_char(&rest, ']') && (!length(rest) || *rest.p == ' '))
			return true;
	}
	return false;
}

/* tasks.bulk_rows: the first row in a line. */
bool read_row(struct text text, const struct head *head, int64_t *cells, struct text *name)
{
	for (;;) {
		struct text t = text;
		const char *open = memchr(t.p, '[', length(t));
		int n = 0;

		if (!open)
			return false;
		text.p = t.p = open + 1;
		eat_blanks(&t);
		if (!eat_number(&t, &cells[n++]) || !eat_char(&t, ']'))
			continue;
		while (n < head->n_columns && eat_blanks(&t) && eat_signed(&t, &cells[n]))
			n++;
		if (n < head->n_columns || !eat_char(&t, ' '))
			continue;
		*name = t;
		return true;
	}
}
