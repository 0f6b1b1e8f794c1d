/* From records of lines to reports, kills and releases: the state machine of assemble.py. */
#include "assembler.h"

enum { MOST_CONTEXTS = 1024 };

void close_report(struct assembler *a, struct print_context *context, enum outcome outcome)
{
	struct report *r = context->report;

	if (r && !r->is_closed) {
		r->outcome = outcome;
		r->is_closed = true;
	}
	context->report = NULL;
	report_drop(a, r);
}

/* Takes the place; the report is that of `a->reports`. */
struct report *new_report(struct assembler *a, const struct boot *boot, struct place where)
{
	struct report *r = take(a, sizeof *r);

	r->refs = 1;
	r->index = a->report_count++;
	r->boot = boot->number;
	r->where = where;
	r->is_headless = true;
	r->is_global = r->has_whole_table = UNKNOWN;
	r->kernel = str_keep(boot->kernel);
	queue_push(a, &a->reports, r);
	return r;
}

/* A process that was chosen, and whose kill is not in the log: a report of it says so. */
void end_choice(struct assembler *a, struct boot *boot, struct print_context *context)
{
	struct chosen *chosen = context->chosen;

	if (chosen && chosen->has_where) {
		struct report *r;

		chosen->has_where = false;
		r = new_report(a, boot, chosen->where);
		r->chosen_pid = number_of(chosen->pid);
		r->chosen_comm = str_keep(chosen->comm);
		r->is_global = chosen->is_memcg == NO ? YES : UNKNOWN;
		r->is_closed = true;
	}
	drop_chosen(a, context);
}

void end_boot(struct assembler *a, struct boot *boot)
{
	for (size_t i = 0; i < boot->contexts.n; i++)
		end_choice(a, boot, queue_at(&boot->contexts, i));
}

struct print_context *context_of(struct assembler *a, struct boot *boot, struct text name)
{
	struct print_context *context = find_context(boot, name);

	if (context)
		return context;
	if (boot->contexts.n >= MOST_CONTEXTS) {
		struct print_context *old = queue_pop(&boot->contexts);

		end_choice(a, boot, old);
		close_report(a, old, NO_OUTCOME);
		empty_context(a, old);
		str_drop(a, old->name);
		give_back(a, old);
	}
	context = take(a, sizeof *context);
	context->name = str_of(a, name);
	queue_push(a, &boot->contexts, context);
	return context;
}

/* ReportParts */

/* A report whose beginning is not in the log: it has what follows. NULL for a copy of one. */
static struct report *headless(struct assembler *a, struct boot *boot, const struct where *where, const struct record *part)
{
	struct report *r;
	struct print_context *context;

	boot = boot ? boot : boot_of(a, where, part);
	if (!boot) {
		a->missing.duplicate_lines++;
		return NULL;
	}
	r = new_report(a, boot, place_of(a, where));
	context = context_of(a, boot, where->caller);
	close_report(a, context, NO_OUTCOME);
	empty_context(a, context);
	context->report = report_keep(r);
	context->last_line = where->line;
	return r;
}

/* What the parts of one line, or of a report, are put into. */
struct target {
	struct boot *boot;
	struct print_context *context;
	struct report *report;
};

static void take_part(struct assembler *a, struct target *target, const struct where *where, const struct record *part, bool is_one, int64_t line_base)
{
	if (!target->report && (!target->context || !target->context->is_copy) && opens(part)) {
		target->report = headless(a, is_one ? NULL : target->boot, where, part);
		target->context = NULL;
	}
	if (target->report)
		fill(a, target->report, part, line_base);
}

static void take_parts(struct assembler *a, const struct where *where, const struct record *record, struct text *t, int64_t line_base)
{
	struct target target = {.boot = find_boot(a, where->host)};

	target.context = target.boot ? find_context(target.boot, where->caller) : NULL;
	if (target.context) {
		target.report = target.context->report;
		target.context->last_line = where->line;
	}
	if (record->type == PARTS) {
		struct record part;

		for (size_t n = enter_array(a, t); n; n--) {
			read_record(a, t, &part);
			if (part.type == PARTS)
				fail(a, DAMAGED);
			take_part(a, &target, where, &part, false, line_base);
		}
	} else {
		take_part(a, &target, where, record, true, line_base);
	}
}

/* Other records */

static void count(struct assembler *a, const struct record *record, int64_t line)
{
	struct losses *missing = &a->missing;
	bool is_kill = is_text(as_text(&record->field[0]), "kill");

	switch (record->type) {
	case FORGED:
		missing->forged_kills += is_kill;
		missing->forged_heads += !is_kill;
		break;
	case DROPPED:
		if (is_text(as_text(&record->field[1]), "printk") || is_text(as_text(&record->field[1]), "journald"))
			missing->dropped_records += as_integer(&record->field[0]);
		else
			missing->dropped_by_syslog += as_integer(&record->field[0]);
		break;
	case UNREAD:
		missing->unread_kills += is_kill;
		missing->unread_heads += !is_kill;
		if (missing->n_unread_lines < (int64_t)(sizeof missing->unread_lines / sizeof *missing->unread_lines))
			missing->unread_lines[missing->n_unread_lines++] = line;
		break;
	default: missing->damaged_rows += as_integer(&record->field[0]); /* OrphanRows */
	}
}

static void other_event(struct assembler *a, const struct boot *boot, struct place where, struct text kind, struct number pid, struct text text,
			const struct report *r)
{
	struct waiting *waiting = take(a, sizeof *waiting);
	struct event *event = take(a, sizeof *event);

	*event = (struct event){boot->number, where, str_of(a, kind), str_of(a, text), pid, {r != NULL, r ? r->index : 0}};
	waiting->event = event;
	queue_push(a, &a->out, waiting);
}

static void header(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	const struct value *field = record->field;
	struct report *r;

	end_choice(a, boot, context);
	close_report(a, context, NO_OUTCOME);
	r = new_report(a, boot, where);
	r->is_headless = false;
	r->comm = str_of(a, as_text(&field[0]));
	r->gfp_mask = as_number(&field[1]);
	r->gfp_flags = str_of(a, as_text(&field[2]));
	r->order = as_number(&field[3]);
	r->nodemask = str_of(a, as_text(&field[4]));
	r->adj = as_number(&field[5]);
	r->is_complete_header = as_flag(&field[6]);
	empty_context(a, context);
	context->report = report_keep(r);
}

static void choose(struct assembler *a, struct boot *boot, struct print_context *context, const struct where *where, const struct record *record)
{
	struct text comm = as_text(&record->field[2]);
	struct report *r = context->report;

	end_choice(a, boot, context);
	context->chosen = take(a, sizeof *context->chosen);
	context->chosen->pid = as_integer(&record->field[1]);
	context->chosen->comm = str_of(a, comm);
	context->chosen->is_memcg = message_is_memcg(as_text(&record->field[0]));
	if (r) {
		r->chosen_pid = number_of(context->chosen->pid);
		str_set(a, &r->chosen_comm, str_of(a, comm));
	} else {
		context->chosen->where = place_of(a, where);
		context->chosen->has_where = true;
	}
}

static void skip_victim(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	struct text comm = as_text(&record->field[2]);
	struct number pid = as_number(&record->field[1]);
	struct bytes text = {0};
	char digits[24];
	int n = 0;
	uint64_t rest = (uint64_t)pid.value;

	do
		digits[sizeof digits - 1 - n++] = (char)('0' + rest % 10);
	while (rest /= 10);
	add_bytes(a, &text, digits + sizeof digits - n, (size_t)n);
	add_bytes(a, &text, " (", 2);
	add_bytes(a, &text, comm.p, length(comm));
	add_bytes(a, &text, ")", 1);
	context->skipped = pid;
	other_event(a, boot, where, text_of("skipped", 7), pid, text_of(text.p, text.n), context->report);
	give_back(a, text.p);
	close_report(a, context, WAS_SKIPPED);
}

static void reaped(struct assembler *a, struct boot *boot, struct place where, const struct record *record)
{
	const struct value *field = record->field;
	struct release *release = take(a, sizeof *release);
	struct waiting *waiting = take(a, sizeof *waiting);

	*release = (struct release){
		.refs = 1, .index = a->releases++, .boot = boot->number, .where = where, .kind = str_of(a, as_text(&field[0])), .pid = as_integer(&field[1]),
		.comm = str_of(a, as_text(&field[2])), .anon_kb = as_number(&field[3]), .file_kb = as_number(&field[4]), .shmem_kb = as_number(&field[5]),
		.is_complete = as_flag(&field[6]),
	};
	for (size_t i = boot->recent_kills.n; i-- && !release->kill.is_there;) {
		struct kill *k = queue_at(&boot->recent_kills, i);

		if (k->pid == release->pid) {
			release->kill = number_of(k->index);
			release->refs++;
			queue_push(a, &k->released, release);
		}
	}
	a->missing.releases_without_kill += !release->kill.is_there;
	waiting->release = release;
	queue_push(a, &a->out, waiting);
}

static void share(struct assembler *a, struct print_context *context, const struct record *record)
{
	int64_t *pid;

	if (!context->last_kill)
		return;
	pid = take(a, sizeof *pid);
	*pid = as_integer(&record->field[0]);
	queue_push(a, &context->last_kill->sharing, pid);
}

static void take_event(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	struct text kind = as_text(&record->field[0]);

	other_event(a, boot, where, kind, as_number(&record->field[1]), as_text(&record->field[2]), context->report);
	if (is_text(kind, "panic"))
		close_report(a, context, PANIC);
	else if (is_text(kind, "no-victim"))
		close_report(a, context, NO_VICTIM);
}

static void take_record(struct assembler *a, struct boot *boot, const struct where *where, const struct record *record)
{
	struct print_context *context = context_of(a, boot, where->caller);
	struct place place = place_of(a, where);

	switch (record->type) {
	case HEADER_OF: header(a, boot, context, place, record); break;
	case KILLED: killed(a, boot, context, place, record); break;
	case REAPED_OF: reaped(a, boot, place, record); break;
	case SKIPPED: skip_victim(a, boot, context, place, record); break;
	case EVENT_OF: take_event(a, boot, context, place, record); break;
	case USER_KILL: other_event(a, boot, place, as_text(&record->field[0]), as_number(&record->field[1]), as_text(&record->field[3]), NULL); break;
	default:
		if (record->type == GROUP_KILL_OF)
			group_kill(a, boot, context, &place, record);
		else if (record->type == CHOSEN)
			choose(a, boot, context, where, record);
		else if (record->type == SHARING)
			share(a, context, record);
		else if (record->type == SUPPRESSED)
			a->missing.suppressed_reports += as_integer(&record->field[0]);
		else if (record->type == BOOT_OF)
			str_set(a, &boot->kernel, str_of(a, as_text(&record->field[0])));
		str_drop(a, place.host);
	}
	context->last_line = where->line;
}

static void take_copy(struct assembler *a, const struct where *where, const struct record *record)
{
	struct boot *boot;
	struct print_context *context;

	a->missing.duplicate_lines++;
	if (record->type != HEADER_OF || !(boot = find_boot(a, where->host)))
		return;
	context = context_of(a, boot, where->caller);
	close_report(a, context, NO_OUTCOME);
	context->is_copy = true;
}

/* Takes records, in the order of the log. `line_base` is added to the numbers of their lines. */
void feed_records(struct assembler *a, struct text t, int64_t n, int64_t line_base)
{
	struct record record;

	while (n--) {
		struct where where;
		struct boot *boot;
		struct place now;

		if (enter_array(a, &t) != 2)
			fail(a, DAMAGED);
		read_where(a, &t, &where);
		read_record(a, &t, &record);
		where.line += line_base;
		if (record.type <= LAST_PART || record.type == PARTS) { /* most records; they neither begin a boot nor settle anything */
			take_parts(a, &where, &record, &t, line_base);
			continue;
		}
		if (record.type == FORGED || record.type == DROPPED || record.type == UNREAD || record.type == ORPHANS) {
			count(a, &record, where.line);
			continue;
		}
		boot = boot_of(a, &where, &record);
		if (!boot) {
			take_copy(a, &where, &record);
			continue;
		}
		take_record(a, boot, &where, &record);
		now = place_of(a, &where);
		settle(a, &now);
		str_drop(a, now.host);
	}
	if (length(t))
		fail(a, DAMAGED);
}
