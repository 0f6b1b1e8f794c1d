/* Whether a kill came before an earlier victim's memory was free, as far as a log can say: overlap.py. */
#include "assembler.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOOK_BACK = 32, SHOWN = 5, ROOM_KB = 256, ROOM_PART = 8, FLIGHT_KB = 1024, FLIGHT_PART = 4, LARGE_KB = 1 << 20, PIDS_BYTES = 160, LONGEST_EVIDENCE = 320 };
#define WINDOW_S 10.0
#define FRESH_S 0.25
#define NO_REPORT "its report is not in the log"
#define NO_REPORT_ALL_OLD NO_REPORT ", the kills before it are older than 0.25 s"

/* Earlier kills, in order. */
struct earlier {
	size_t n;
	struct kill *kill[LOOK_BACK];
};

static void set(struct assembler *a, struct kill *k, answer overlap, const char *evidence)
{
	k->overlap = overlap;
	str_set(a, &k->evidence, str_of(a, text_of(evidence, strlen(evidence))));
}

/* "pid 1, 2 and 3 more": the last of them */
static void list_pids(const struct earlier *kills, char *text)
{
	size_t first = kills->n > SHOWN ? kills->n - SHOWN : 0;
	int n = snprintf(text, PIDS_BYTES, "pid ");

	for (size_t i = first; i < kills->n; i++)
		n += snprintf(text + n, (size_t)(PIDS_BYTES - n), "%s%" PRId64, i > first ? ", " : "", kills->kill[i]->pid);
	if (first)
		snprintf(text + n, (size_t)(PIDS_BYTES - n), " and %zu more", first);
}

/* Whether one place stands just before another, by stamps of microseconds; coarser ones do not say. */
static bool is_just_before(const struct place *then, const struct place *now)
{
	return then->has_uptime && now->has_uptime && now->uptime_s - then->uptime_s <= FRESH_S;
}

/* Whether a release is a reaping that left nothing, printed before a place. */
static bool is_reap(const struct release *release, const struct place *where)
{
	return is_text(str_text(release->kind), "reaped") && is_before(&release->where, where) && !(release->anon_kb.is_there && release->anon_kb.value);
}

/* Its memory was reaped well before this kill's report began, and nothing was left. */
static bool released_before(const struct kill *before, const struct kill *k)
{
	const struct place *where = k->report ? &k->report->where : &k->where;

	for (size_t i = 0; i < before->released.n; i++) {
		const struct release *release = queue_at(&before->released, i);

		if (is_reap(release, where) && !is_just_before(&release->where, where))
			return true;
	}
	return false;
}

static bool reaped_before(const struct kill *before, const struct place *where)
{
	for (size_t i = 0; i < before->released.n; i++)
		if (is_reap(queue_at(&before->released, i), where))
			return true;
	return false;
}

/* Whether a victim was killed just before a place; stamps of whole seconds, and none, leave it open. */
static bool killed_just_before(const struct kill *before, const struct place *where)
{
	if (!has_time(&before->where) || !has_time(where) || clock_of(&before->where) != clock_of(where))
		return true;
	return time_of(where) - time_of(&before->where) <= (where->has_uptime ? FRESH_S : 1.0);
}

/* Whether an old victim may have had memory left at a place: it was large, or of an unknown size, or a line of the oom_reaper says so. */
static bool may_be_slow(const struct kill *before, const struct place *where)
{
	if (!before->anon_kb.is_there || before->anon_kb.value > LARGE_KB)
		return true;
	for (size_t i = 0; i < before->released.n; i++) {
		const struct release *release = queue_at(&before->released, i);

		if (is_before(where, &release->where) || !is_text(str_text(release->kind), "reaped") || (release->anon_kb.is_there && release->anon_kb.value))
			return true;
	}
	return false;
}

/* Kills of other decisions shortly before this one; whether there was none at all. */
static bool find_recent(const struct kill *k, const struct queue *kills, struct earlier *recent)
{
	bool is_first = true;

	recent->n = 0;
	for (size_t i = kills->n; i--;) {
		struct kill *before = queue_at(kills, i);

		if (before->index >= k->index || before->decision == k->decision)
			continue;
		is_first = false;
		if (recent->n == LOOK_BACK)
			break;
		if (has_time(&before->where) && has_time(&k->where) && time_of(&k->where) - time_of(&before->where) > WINDOW_S &&
		    clock_of(&before->where) == clock_of(&k->where))
			break;
		recent->kill[recent->n++] = before;
	}
	for (size_t i = 0; i < recent->n / 2; i++) {
		struct kill *kill = recent->kill[i];

		recent->kill[i] = recent->kill[recent->n - 1 - i];
		recent->kill[recent->n - 1 - i] = kill;
	}
	return is_first;
}

/* Whether the earlier victim's memory counts against this kill's domain. */
static answer is_related(const struct kill *before, const struct kill *k)
{
	const struct str *const memcgs[] = {before->task_memcg, before->group, before->oom_memcg};

	if (k->is_global == YES)
		return YES;
	if (!k->oom_memcg)
		return UNKNOWN;
	for (int i = 0; i < 3; i++)
		if (memcgs[i] && in_subtree(memcgs[i], k->oom_memcg))
			return YES;
	if (before->task_memcg || (before->oom_memcg && !in_subtree(k->oom_memcg, before->oom_memcg)))
		return NO;
	return UNKNOWN;
}

static int64_t anon_kb(const struct kill *k) { return k->anon_kb.is_there ? k->anon_kb.value : 0; }

static bool shows_room(const struct report *r, const struct earlier *certain, char *evidence)
{
	struct number room = report_is_memcg(r) == YES ? r->margin_kb : r->zone_margin_kb, kmem = kmem_margin_kb(r);
	int64_t fair_kb = anon_kb(certain->kill[certain->n - 1]) / ROOM_PART;
	__int128 need;

	if (!r->order.is_there || r->order.value < 0)
		return false;
	need = (__int128)page_kb_of(r) << (r->order.value < LARGEST_ORDER ? r->order.value : LARGEST_ORDER);
	if (!room.is_there || room.value < need || (report_is_memcg(r) == YES && kmem.is_there && kmem.value < need))
		return false; /* kernel memory has a limit of its own on v1 */
	if (room.value < (fair_kb > ROOM_KB ? fair_kb : ROOM_KB))
		return false;
	snprintf(evidence, LONGEST_EVIDENCE, "room: %" PRId64 " kB, asked for %" PRId64 " kB", room.value, (int64_t)need);
	return true;
}

static bool shows_listed(const struct report *r, const struct earlier *certain, char *evidence)
{
	struct earlier still = {0};
	char pids[PIDS_BYTES];

	if (!r->table)
		return false;
	for (size_t i = 0; i < certain->n; i++)
		if (find_row(r->table, certain->kill[i]->pid) >= 0)
			still.kill[still.n++] = certain->kill[i];
	if (!still.n)
		return false;
	list_pids(&still, pids);
	snprintf(evidence, LONGEST_EVIDENCE, "listed: %s", pids);
	return true;
}

static void show_flight(int64_t kb, char *evidence) { snprintf(evidence, LONGEST_EVIDENCE, "in flight: %" PRId64 " kB of no listed task", kb); }

static bool shows_flight(const struct report *r, const struct earlier *certain, char *evidence)
{
	const struct kill *last = certain->kill[certain->n - 1];

	if (!r->in_flight_kb.is_there || r->in_flight_kb.value < FLIGHT_KB)
		return false;
	if (!killed_just_before(last, &r->where) && (__int128)r->in_flight_kb.value * FLIGHT_PART < anon_kb(last))
		return false;
	show_flight(r->in_flight_kb.value, evidence);
	return true;
}

/* Memory of victims that no task owns and that is not free; a fair part of theirs, as files are mapped and unmapped. */
static bool shows_machine_flight(const struct kill *k, const struct earlier *certain, char *evidence)
{
	int64_t most = 0;

	for (size_t i = 0; i < certain->n; i++)
		if (!i || anon_kb(certain->kill[i]) > most)
			most = anon_kb(certain->kill[i]);
	most /= FLIGHT_PART;
	if (!k->flight_kb.is_there || k->flight_kb.value < (most > FLIGHT_KB ? most : FLIGHT_KB))
		return false;
	show_flight(k->flight_kb.value, evidence);
	return true;
}

static bool shows_later_reaping(const struct kill *k, const struct earlier *certain, char *evidence)
{
	struct earlier later = {0};
	char pids[PIDS_BYTES];

	for (size_t i = 0; i < certain->n; i++)
		for (size_t n = 0; n < certain->kill[i]->released.n; n++) {
			const struct release *release = queue_at(&certain->kill[i]->released, n);

			if (is_text(str_text(release->kind), "reaped") && is_before(&k->where, &release->where)) {
				later.kill[later.n++] = certain->kill[i];
				break;
			}
		}
	if (!later.n)
		return false;
	list_pids(&later, pids);
	snprintf(evidence, LONGEST_EVIDENCE, "reaped later: %s", pids);
	return true;
}

static bool has_evidence(struct assembler *a, struct kill *k, const struct earlier *certain, char *evidence)
{
	struct report *r = k->report;

	if (r && (shows_room(r, certain, evidence) || shows_listed(r, certain, evidence) || shows_flight(r, certain, evidence)))
		return true;
	if (r && report_is_memcg(r) == NO) {
		k->flight_kb = machine_flight_kb(a, r, certain->kill, certain->n);
		if (shows_machine_flight(k, certain, evidence))
			return true;
	}
	return shows_later_reaping(k, certain, evidence);
}

/* Only the age of the victims is left. The reason says what the log does show: victims that were reaped are not simply unknown. */
static void without_report(struct assembler *a, struct kill *k, const struct earlier *pending, bool has_losses)
{
	struct earlier reaped = {0};
	bool are_old = !has_losses;
	char pids[PIDS_BYTES], evidence[LONGEST_EVIDENCE];

	for (size_t i = 0; i < pending->n; i++) {
		are_old = are_old && !killed_just_before(pending->kill[i], &k->where) && !may_be_slow(pending->kill[i], &k->where);
		if (reaped_before(pending->kill[i], &k->where))
			reaped.kill[reaped.n++] = pending->kill[i];
	}
	if (are_old) {
		set(a, k, NO, NO_REPORT_ALL_OLD);
		return;
	}
	if (reaped.n != pending->n) {
		set(a, k, UNKNOWN, NO_REPORT);
		return;
	}
	list_pids(&reaped, pids);
	snprintf(evidence, sizeof evidence, "%s was reaped before it, but less than 0.25 s before", pids);
	set(a, k, UNKNOWN, evidence);
}

static const char *no_zones(const struct report *r)
{
	if (r->gfp_mask.is_there && !r->gfp_mask.value)
		return "a page fault's report does not say what was asked for";
	return r->n_zones ? "its report does not say what room the request had" : "its report is cut";
}

static void without_evidence(struct assembler *a, struct kill *k, const struct report *r, const struct earlier *certain)
{
	struct earlier fresh = {0};
	bool is_memcg = report_is_memcg(r) == YES, has_rows = r->table && r->table->rows;
	char pids[PIDS_BYTES], evidence[LONGEST_EVIDENCE];

	if (!has_rows || !r->order.is_there || (is_memcg && !r->margin_kb.is_there)) {
		set(a, k, UNKNOWN, "its report is cut");
		return;
	}
	if (!is_memcg && !r->zone_margin_kb.is_there && r->order.value >= 0) {
		set(a, k, UNKNOWN, no_zones(r));
		return;
	}
	for (size_t i = 0; i < certain->n; i++)
		if (killed_just_before(certain->kill[i], &r->where))
			fresh.kill[fresh.n++] = certain->kill[i];
	if (fresh.n) {
		list_pids(&fresh, pids);
		snprintf(evidence, sizeof evidence, "nothing shows it, but %s %s killed only just before", pids,
			fresh.n > 1 ? "were" : "was");
		set(a, k, UNKNOWN, evidence);
		return;
	}
	set(a, k, NO, k->flight_kb.is_there || r->in_flight_kb.is_there ? "no room, none listed or in flight" : "no room, none listed");
}

static void set_earlier(struct assembler *a, struct kill *k, const struct earlier *kills)
{
	k->earlier = take(a, (kills->n + 1) * sizeof *k->earlier);
	for (size_t i = 0; i < kills->n; i++)
		k->earlier[k->n_earlier++] = kills->kill[i]->index;
}

/* Fills in the estimate. `kills` are the last kills of the same boot, in order, with this one among them. */
void estimate(struct assembler *a, struct kill *k, const struct queue *kills, bool has_losses)
{
	struct earlier recent, pending = {0}, certain = {0};
	bool is_first = find_recent(k, kills, &recent), all_others = true;
	answer none = has_losses ? UNKNOWN : NO;
	char evidence[LONGEST_EVIDENCE];

	if (!k->report && !has_text(k->oom_memcg) && k->is_global != YES) {
		for (size_t i = recent.n; i--;)
			if (!released_before(recent.kill[i], k))
				pending.kill[pending.n++] = recent.kill[i];
		if (pending.n) {
			without_report(a, k, &pending, has_losses);
			return;
		}
	}
	if (!recent.n) {
		snprintf(evidence, sizeof evidence, "%s%s", is_first ? "no kill before it" : "no kill in the 10 s before it",
			 has_losses ? " that is in the log" : "");
		set(a, k, none, evidence);
		return;
	}
	for (size_t i = 0; i < recent.n; i++) {
		answer related = is_related(recent.kill[i], k);

		all_others = all_others && related == NO;
		if (related == NO || released_before(recent.kill[i], k))
			continue;
		pending.kill[pending.n++] = recent.kill[i];
		if (related == YES)
			certain.kill[certain.n++] = recent.kill[i];
	}
	if (!pending.n) {
		set(a, k, none, all_others ? "the kills before it are other memcgs'" : "the kills before it are reaped, or other memcgs'");
		return;
	}
	set_earlier(a, k, certain.n ? &certain : &pending);
	if (certain.n && has_evidence(a, k, &certain, evidence)) {
		set(a, k, YES, evidence);
		return;
	}
	if (!k->report)
		without_report(a, k, &pending, has_losses);
	else if (!certain.n)
		set(a, k, UNKNOWN, "the memcgs of the kills before it are not known");
	else
		without_evidence(a, k, k->report, &certain);
}
