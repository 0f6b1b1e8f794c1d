/* Kills and the groups that they are of: _killed() and _group_kill() in assemble.py. */
#include "assembler.h"

#define GROUP_GAP_S 0.25 /* between two kills of one group; more where the console is slow, as its first lines tell */
#define GROUP_GAPS 5
#define REPORT_AGE_S 60.0
enum { SAME_PLACE_LINES = 3, RECENT = 512 };

/* Fields of KilledLine */
enum { MESSAGE, PID, COMM, TOTAL_VM_KB, ANON_KB, FILE_KB, SHMEM_KB, UID_OF, PGTABLES_KB, ADJ, IS_COMPLETE };

void kill_drop(struct assembler *a, struct kill *k)
{
	if (!k || --k->refs)
		return;
	struct str *const strings[] = {k->where.host, k->comm, k->oom_memcg, k->task_memcg, k->group, k->evidence};

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		str_drop(a, strings[i]);
	while (k->released.n)
		release_drop(a, queue_pop(&k->released));
	while (k->sharing.n)
		give_back(a, queue_pop(&k->sharing));
	report_drop(a, k->report);
	give_back(a, k->released.at);
	give_back(a, k->sharing.at);
	give_back(a, k->earlier);
	give_back(a, k);
}

void release_drop(struct assembler *a, struct release *r)
{
	if (!r || --r->refs)
		return;
	str_drop(a, r->where.host);
	str_drop(a, r->kind);
	str_drop(a, r->comm);
	give_back(a, r);
}

static bool has_pid(const struct group *group, int64_t pid)
{
	for (size_t i = 0; i < group->n_pids; i++)
		if (group->pids[i] == pid)
			return true;
	return false;
}

static void add_pid(struct assembler *a, struct group *group, int64_t pid)
{
	if (group->n_pids == group->pids_capacity) {
		group->pids_capacity = group->pids_capacity * 2 + 8;
		group->pids = resize(a, group->pids, group->pids_capacity * sizeof *group->pids);
	}
	group->pids[group->n_pids++] = pid;
}

/* Whether a kill is part of the caller's group kill: by the same caller and at once. */
static bool is_of_group(const struct print_context *context, const struct place *where, int64_t pid, answer is_memcg)
{
	const struct group *group = context->group;
	double gap_s, most_s;

	if (!group || has_pid(group, pid) || is_memcg == NO)
		return false;
	if (!has_time(where) || !group->has_time)
		return true;
	gap_s = time_of(where) - group->last_time_s;
	most_s = GROUP_GAPS * group->gap_s > GROUP_GAP_S ? GROUP_GAPS * group->gap_s : GROUP_GAP_S;
	return !(gap_s > most_s && (where->has_uptime || gap_s > 1)); /* a stamp of whole seconds may step by one between two lines */
}

/* The open report that this kill ends; NULL when the log shows that it is another's. */
static struct report *report_of(const struct print_context *context, const struct place *where, int64_t pid, answer is_memcg)
{
	struct report *r = context->report;
	bool is_others, has_message = is_memcg != UNKNOWN;

	if (!r || r->is_closed)
		return NULL;
	if (has_time(&r->where) && has_time(where) && time_of(where) - time_of(&r->where) > REPORT_AGE_S)
		return NULL;
	is_others = r->chosen_pid.is_there && r->chosen_pid.value != pid;
	if (r->is_headless && is_others && has_message)
		return NULL; /* a summary alone, and another's kill */
	if (!has_message && context->chosen)
		is_memcg = context->chosen->is_memcg;
	if (is_memcg != UNKNOWN && report_is_memcg(r) != UNKNOWN && is_memcg != report_is_memcg(r))
		return NULL;
	/* From 5.1 children are not sacrificed, so another pid is another decision's, or the main thread's. */
	if (r->has_summary && has_message && is_others && where->line - context->last_line > SAME_PLACE_LINES)
		return NULL;
	return r;
}

/* The kernel's page size, from the victim's size in the table (pages) and in the kill (kB). */
static void learn_page_size(struct report *r, const struct kill *k)
{
	const struct table *table = r->table;
	int64_t total_kb = k->total_vm_kb.value;

	if (!table || table->position[TOTAL_VM] < 0 || !k->total_vm_kb.is_there || !total_kb)
		return;
	for (int64_t row = 0; row < table->rows; row++) {
		int64_t size = table->cells[row * table->width + table->position[TOTAL_VM]], page_kb;

		if (table->cells[row * table->width] != k->pid || !size || size == -1 || total_kb % size)
			continue;
		page_kb = total_kb / size;
		if (page_kb == 4 || page_kb == 8 || page_kb == 16 || page_kb == 32 || page_kb == 64 || page_kb == 256)
			r->page_kb = number_of(page_kb);
	}
}

static bool same_source(const struct kill *one, const struct kill *other)
{
	return one->source == other->source && one->source_report == other->source_report;
}

static struct kill *first_with(const struct queue *kills, bool is_known)
{
	for (size_t i = 0; i < kills->n; i++) {
		struct kill *k = queue_at(kills, i);

		if (is_known ? k->source == KNOWN : domain_of(k->oom_memcg, k->is_global).p != NULL)
			return k;
	}
	return NULL;
}

/* One decision has one domain: what is known of any of its kills. The last of them is new. */
static void share_domain(struct assembler *a, const struct queue *kills)
{
	const struct kill *first = queue_at(kills, 0), *new = queue_last(kills), *best;

	if (same_source(new, first) && str_equal(new->oom_memcg, first->oom_memcg) && new->is_global == first->is_global)
		return;
	best = first_with(kills, true);
	best = best ? best : first_with(kills, false);
	best = best ? best : first;
	for (size_t i = 0; i < kills->n; i++) {
		struct kill *k = queue_at(kills, i);

		if (k == best || (same_source(k, best) &&
				  same_text(domain_of(k->oom_memcg, k->is_global), domain_of(best->oom_memcg, best->is_global))))
			continue;
		str_set(a, &k->oom_memcg, str_keep(best->oom_memcg));
		k->is_global = best->is_global;
		k->source = best->source;
		k->source_report = best->source_report;
	}
}

static struct kill *new_kill(struct assembler *a, struct boot *boot, struct place where, const struct record *record, int64_t decision,
			     struct report *report)
{
	const struct value *field = record->field;
	struct kill *k = take(a, sizeof *k);

	k->refs = 1;
	k->index = a->kill_count++;
	k->boot = boot->number;
	k->where = where;
	k->decision = decision;
	k->pid = k->chosen_pid = as_integer(&field[PID]);
	k->comm = str_of(a, as_text(&field[COMM]));
	k->total_vm_kb = as_number(&field[TOTAL_VM_KB]);
	k->anon_kb = as_number(&field[ANON_KB]);
	k->file_kb = as_number(&field[FILE_KB]);
	k->shmem_kb = as_number(&field[SHMEM_KB]);
	k->uid = as_number(&field[UID_OF]);
	k->pgtables_kb = as_number(&field[PGTABLES_KB]);
	k->adj = as_number(&field[ADJ]);
	k->is_complete = as_flag(&field[IS_COMPLETE]);
	k->message_is_memcg = message_is_memcg(as_text(&field[MESSAGE]));
	k->is_global = k->overlap = UNKNOWN;
	k->report = report_keep(report);
	k->state = boot;
	boot->refs++;
	a->missing.kills_without_report += !report;
	a->missing.partial_kills += !k->is_complete;
	return k;
}

static struct kill *member_kill(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	struct group *group = context->group;
	struct kill *k;

	add_pid(a, group, as_integer(&record->field[PID]));
	group->has_time = has_time(&where);
	group->last_time_s = time_of(&where);
	k = new_kill(a, boot, where, record, group->decision, group->report);
	if (context->last_kill)
		k->chosen_pid = context->last_kill->chosen_pid;
	str_set(a, &k->group, str_keep(group->memcg));
	return k;
}

static struct kill *own_kill(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	struct report *r;
	struct kill *k;

	drop_group(a, context);
	r = report_of(context, &where, as_integer(&record->field[PID]), message_is_memcg(as_text(&record->field[MESSAGE])));
	k = new_kill(a, boot, where, record, a->decisions++, r);
	if (context->chosen) {
		k->chosen_pid = context->chosen->pid;
		if (k->message_is_memcg == UNKNOWN)
			k->message_is_memcg = context->chosen->is_memcg;
	}
	if (r) {
		if (r->chosen_pid.is_there)
			k->chosen_pid = r->chosen_pid.value;
		str_set(a, &k->task_memcg, str_keep(r->task_memcg));
		if (r->is_global == UNKNOWN && k->message_is_memcg == NO)
			r->is_global = YES; /* the message says so where the report is cut */
		learn_page_size(r, k);
		close_report(a, context, WAS_KILLED);
	}
	return k;
}

void killed(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record)
{
	int64_t pid = as_integer(&record->field[PID]);
	bool is_member = is_of_group(context, &where, pid, message_is_memcg(as_text(&record->field[MESSAGE])));
	struct kill *k;

	if (is_member && context->group->chosen_pid.is_there && context->group->chosen_pid.value == pid) {
		/* the chosen victim is printed twice: once chosen, once as a member */
		context->group->chosen_pid.is_there = false;
		str_drop(a, where.host);
		return;
	}
	k = is_member ? member_kill(a, boot, context, where, record) : own_kill(a, boot, context, where, record);
	drop_chosen(a, context);
	context->skipped.is_there = false;
	context->is_copy = false;
	kill_drop(a, context->last_kill);
	context->last_kill = kill_keep(k);
	settle_domain(a, boot, k);
	if (is_member) {
		queue_push(a, &context->group->kills, kill_keep(k));
		share_domain(a, &context->group->kills);
	}
	queue_push(a, &boot->recent_kills, kill_keep(k));
	if (boot->recent_kills.n > RECENT)
		kill_drop(a, queue_pop(&boot->recent_kills));
	queue_push(a, &a->kills, k);
}

/* A group's head pasted twice. */
static bool is_copy(const struct print_context *context, const struct place *where)
{
	return context->group && has_time(where) && context->group->has_time && time_of(where) < context->group->last_time_s;
}

/* What follows is one decision with the kill before it, which a group before it may have claimed. */
void group_kill(struct assembler *a, struct boot *boot, struct print_context *context, const struct place *where, const struct record *record)
{
	struct text memcg = as_text(&record->field[0]);
	struct kill *chosen = context->skipped.is_there ? NULL : context->last_kill;
	struct group *group = context->group, *new;

	if (chosen && chosen->group && group && chosen->decision == group->decision) {
		if (str_is(group->memcg, memcg) && has_pid(group, chosen->pid) && !context->chosen && is_copy(context, where))
			return;
		a->missing.kills_without_report += chosen->report != NULL;
		report_drop(a, chosen->report);
		chosen->report = NULL;
		chosen->decision = a->decisions++;
		chosen->chosen_pid = chosen->pid;
	}
	new = take(a, sizeof *new);
	new->memcg = str_of(a, memcg);
	new->has_time = has_time(where);
	new->last_time_s = time_of(where);
	if (chosen) {
		str_set(a, &chosen->group, str_keep(new->memcg));
		if (!chosen->report)
			settle_domain(a, boot, chosen); /* the group's memcg tells more */
		new->chosen_pid = number_of(chosen->pid);
		new->decision = chosen->decision;
		new->report = report_keep(chosen->report);
		queue_push(a, &new->kills, kill_keep(chosen));
		if (has_time(where) && has_time(&chosen->where) && time_of(where) - time_of(&chosen->where) > 0)
			new->gap_s = time_of(where) - time_of(&chosen->where);
	} else {
		new->chosen_pid = context->skipped;
		new->decision = a->decisions++;
		new->report = report_keep(context->report);
	}
	drop_group(a, context);
	context->group = new;
}
