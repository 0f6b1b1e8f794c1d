/* The OOM domain of a kill: infer.py. */
#include "assembler.h"

enum { TABLES_KEPT = 64 };
#define NEAR_S 10.0 /* two rate limit windows */

bool in_subtree(const struct str *memcg, const struct str *root)
{
	struct text t = str_text(memcg), above = str_text(root);

	if (str_equal(memcg, root) || is_text(above, "/"))
		return true;
	while (length(above) && above.end[-1] == '/')
		above.end--;
	return length(t) > length(above) && !memcmp(t.p, above.p, length(above)) && t.p[length(above)] == '/';
}

static bool lists(const struct report *r, const struct kill *k)
{
	int64_t row;
	struct text name;

	if (!r->table || (row = find_row(r->table, k->pid)) < 0)
		return false;
	name = name_of_row(r->table, row);
	return !k->comm || str_is(k->comm, name);
}

/* The memcg whose task table listed the victim; no answer when two did. */
static const struct report *by_table(const struct boot *boot, const struct kill *k)
{
	const struct report *found = NULL;

	for (size_t i = 0; i < boot->reports.n; i++) {
		const struct report *r = queue_at(&boot->reports, i);

		if (!has_text(r->oom_memcg) || !lists(r, k))
			continue;
		if (found && !str_equal(found->oom_memcg, r->oom_memcg))
			return NULL;
		found = r;
	}
	for (size_t i = 0; found && i < boot->reports.n; i++) {
		const struct report *r = queue_at(&boot->reports, i);

		/* a memcg above or below that ran out too may have been it this time */
		if (has_text(r->oom_memcg) && !str_equal(r->oom_memcg, found->oom_memcg) &&
		    (in_subtree(r->oom_memcg, found->oom_memcg) || in_subtree(found->oom_memcg, r->oom_memcg)))
			return NULL;
	}
	return found;
}

static const struct report *by_group(const struct boot *boot, const struct kill *k)
{
	const struct report *found = NULL;

	for (size_t i = 0; k->group && i < boot->reports.n; i++) {
		const struct report *r = queue_at(&boot->reports, i);

		if (!has_text(r->oom_memcg) || !in_subtree(k->group, r->oom_memcg))
			continue;
		if (found && !str_equal(found->oom_memcg, r->oom_memcg))
			return NULL;
		found = r;
	}
	return found;
}

/* The only memcg that reported shortly before, if its tasks had the victim's name. */
static const struct report *by_neighbours(const struct boot *boot, const struct kill *k)
{
	const struct report *found = NULL;
	bool is_named = false;

	if (!has_time(&k->where))
		return NULL;
	for (size_t i = 0; i < boot->reports.n; i++) {
		const struct report *r = queue_at(&boot->reports, i);
		double gap_s = time_of(&k->where) - time_of(&r->where);

		if (!has_time(&r->where) || !(0 <= gap_s && gap_s <= NEAR_S))
			continue;
		if (found && !str_equal(found->oom_memcg, r->oom_memcg))
			return NULL;
		found = r;
		is_named = is_named || (k->comm && r->table && has_name(r->table, str_text(k->comm)));
	}
	return is_named && found->oom_memcg ? found : NULL;
}

static void infer(struct assembler *a, const struct boot *boot, struct kill *k)
{
	const struct report *found;

	if ((found = by_table(boot, k))) {
		k->source = BY_TABLE;
		k->source_report = found->index;
	} else if ((found = by_group(boot, k))) {
		k->source = BY_GROUP;
	} else if ((found = by_neighbours(boot, k))) {
		k->source = BY_NEIGHBOUR;
	}
	if (found)
		str_set(a, &k->oom_memcg, str_keep(found->oom_memcg));
}

/* Fills in the domain of a kill, and remembers its report: DomainInference.assign_domain(). */
void settle_domain(struct assembler *a, struct boot *boot, struct kill *k)
{
	struct report *r = k->report;

	if (r && domain_of(r->oom_memcg, r->is_global).p) {
		str_set(a, &k->oom_memcg, str_keep(r->oom_memcg));
		k->is_global = r->oom_memcg ? NO : YES;
		k->source = KNOWN;
		k->source_report = 0;
		if (r->oom_memcg && queue_last(&boot->reports) != r) {
			queue_push(a, &boot->reports, report_keep(r));
			if (boot->reports.n > TABLES_KEPT)
				report_drop(a, queue_pop(&boot->reports));
		}
	} else if (k->message_is_memcg == NO) {
		k->is_global = YES;
		k->source = KNOWN; /* the message says so */
		k->source_report = 0;
	} else if (k->message_is_memcg == YES) {
		str_set(a, &k->oom_memcg, NULL);
		k->is_global = NO;
		k->source = SOURCE_UNKNOWN;
		k->source_report = 0;
		infer(a, boot, k);
	}
}
