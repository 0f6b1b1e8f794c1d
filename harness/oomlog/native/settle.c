/* What is settled is given: _settle() in assemble.py. */
#include "assembler.h"

#define REPORT_AGE_S 60.0 /* between a header and its kill, on the slowest console */
#define WINDOW_S 10.0
enum { PENDING = 512 }; /* kills that wait for a release; a bound for logs without time */

/* Whether a place is of the same host as another and so much later, or earlier. */
static bool is_past(const struct place *then, const struct place *now, double window_s)
{
	double gap_s = time_of(now) - time_of(then);

	return has_time(then) && has_time(now) && str_equal(then->host, now->host) && !(0 <= gap_s && gap_s <= window_s);
}

/* Whether nothing more of a report that is not closed can come. */
static bool is_over(const struct assembler *a, const struct report *r, const struct place *now)
{
	return a->reports.n > PENDING || a->kills.n > PENDING || a->out.n > PENDING || is_past(&r->where, now, REPORT_AGE_S);
}

/* The same of the releases of a kill. */
static bool is_old(const struct assembler *a, const struct kill *k, const struct place *now)
{
	const struct report *first = a->reports.n ? queue_at(&a->reports, 0) : NULL;

	if (k->report && first && k->report->index >= first->index)
		return false;
	return a->kills.n > PENDING || a->out.n > PENDING || is_past(&k->where, now, WINDOW_S);
}

/* Whether what it speaks of was given. */
static bool is_placed(const struct assembler *a, const struct waiting *waiting)
{
	if (waiting->release)
		return !waiting->release->kill.is_there || !a->kills.n ||
		       waiting->release->kill.value < ((const struct kill *)queue_at(&a->kills, 0))->index;
	return !waiting->event->report.is_there || !a->reports.n ||
	       waiting->event->report.value < ((const struct report *)queue_at(&a->reports, 0))->index;
}

static void give_report(struct assembler *a)
{
	struct report *r = queue_pop(&a->reports);

	r->is_closed = true;
	derive(a, r);
	a->missing.partial_reports += *r->missing != '\0';
	a->missing.unended_reports += r->outcome == NO_OUTCOME;
	a->outputs++;
	a->reports_given++;
	put_report(a, r);
	report_drop(a, r);
}

/* Gives a member of a group kill the estimate of its decision. */
static void copy_estimate(struct assembler *a, const struct kill *of, struct kill *k)
{
	k->overlap = of->overlap;
	str_set(a, &k->evidence, str_keep(of->evidence));
	k->earlier = take(a, (of->n_earlier + 1) * sizeof *k->earlier);
	if (of->n_earlier)
		memcpy(k->earlier, of->earlier, of->n_earlier * sizeof *k->earlier);
	k->n_earlier = of->n_earlier;
}

static void give_kill(struct assembler *a)
{
	struct kill *k = queue_pop(&a->kills);
	struct boot *boot = k->state;

	k->state = NULL;
	if (boot->last_estimated && boot->last_estimated->decision == k->decision) {
		copy_estimate(a, boot->last_estimated, k); /* members of one group decision never overlap one another */
	} else {
		estimate(a, k, &boot->recent_kills, a->missing.dropped_records || a->missing.sequence_gaps);
		kill_drop(a, boot->last_estimated);
		boot->last_estimated = kill_keep(k);
	}
	a->outputs++;
	a->kills_given++;
	if (k->decision > a->highest_decision)
		a->highest_decision = k->decision;
	put_kill(a, k);
	kill_drop(a, k);
	boot_drop(a, boot);
}

static void give_waiting(struct assembler *a)
{
	struct waiting *waiting = queue_pop(&a->out);

	a->outputs++;
	if (waiting->release) {
		put_release(a, waiting->release);
		release_drop(a, waiting->release);
	} else {
		struct event *event = waiting->event;

		put_event(a, event);
		str_drop(a, event->where.host);
		str_drop(a, event->kind);
		str_drop(a, event->text);
		give_back(a, event);
	}
	give_back(a, waiting);
}

/* Reports that are over, kills whose releases can no more be printed, and what speaks of these: in this order. NULL: the log ends. */
void settle(struct assembler *a, const struct place *now)
{
	while (a->reports.n) {
		struct report *first = queue_at(&a->reports, 0);

		if (now && !first->is_closed && !is_over(a, first, now))
			break;
		give_report(a);
	}
	while (a->kills.n && (!now || is_old(a, queue_at(&a->kills, 0), now)))
		give_kill(a);
	while (a->out.n && (!now || is_placed(a, queue_at(&a->out, 0))))
		give_waiting(a);
}
