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
	put_word(out, "OomKillSummary");
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

	t = right_trimmed(t);
	if (!eat(&t, "Task in ") || !(p = find(t, MIDDLE)) || find_last(t, MIDDLE) != p || p + strlen(MIDDLE) == t.end)
		return false;
	put_array(out, 3);
	put_word(out, "VictimMemcg");
	put_text(out, (struct text){t.p, p});
	put_text(out, (struct text){p + strlen(MIDDLE), t.end});
	return true;
}

static bool read_limit(struct buffer *out, struct text t)
{
	t = right_trimmed(t);
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
