/* Reports, kills, releases and events as rows: tables/log.py has their columns. Owners of memcgs and files are Python's to add. */
#include "assembler.h"

#include <inttypes.h>
#include <stdio.h>

/* The types of the columns: int, float, string, bool and list. */
static const char *const TYPES[TABLES] = {
	[REPORTS] = "ii" "fsiis" "sisisii" "ssssss" "is" "iiiiiiiiiiiiiiii" "sbs",
	[KILLS] = "iis" "fsiis" "iiii" "sssss" "iiiiiiiii" "bsllb",
	[RELEASES] = "isis" "fsiis" "ii" "iiib",
	[TASKS] = "iis" "iiiiiiiiiiiiii" "i",
	[EVENTS] = "sis" "fsiis" "ii",
	[ZONES] = "iis" "iiiilii" "l",
	[STATISTICS] = "isi",
};

void open_columns(struct columns columns[TABLES])
{
	static const char LETTERS[] = "ifsbl"; /* in the order of column_type */

	for (int table = 0; table < TABLES; table++) {
		columns[table].n = strlen(TYPES[table]);
		for (size_t i = 0; i < columns[table].n; i++)
			columns[table].column[i].type = (enum column_type)(strchr(LETTERS, TYPES[table][i]) - LETTERS);
	}
}

/* The columns of a row that are still to be filled. */
struct row {
	struct assembler *a;
	struct column *next;
};

/* A row with a long text counts as many, as they are taken by their number. */
static void count_row(struct assembler *a, const struct str *text)
{
	enum { LONG = 1024 };

	a->rows += 1 + (text ? (int64_t)text->n / LONG : 0);
}

static struct row begin_row(struct assembler *a, int table)
{
	return (struct row){a, a->columns[table].column};
}

static void put(struct row *row, struct number value) { add_int(row->a, row->next++, value); }
static void put_integer(struct row *row, int64_t value) { put(row, number_of(value)); }
static void put_string(struct row *row, const struct str *s) { add_text(row->a, row->next++, str_text(s)); }
static void put_literal(struct row *row, const char *word) { add_text(row->a, row->next++, text_of(word, strlen(word))); }
static void put_answer(struct row *row, answer value) { add_bool(row->a, row->next++, value); }

/* _place() */
static void put_where(struct row *row, const struct place *where)
{
	static const char *const CLOCKS[] = {[UPTIME] = "uptime", [YEARLESS] = "yearless", [WALL] = "wall"};
	enum clock clock = clock_of(where);

	add_float(row->a, row->next++, clock != NO_CLOCK, time_of(where));
	if (clock == NO_CLOCK)
		add_text(row->a, row->next++, (struct text){0});
	else
		put_literal(row, CLOCKS[clock]);
	put_integer(row, where->line);
	put_integer(row, where->offset);
	put_string(row, has_text(where->host) ? where->host : NULL);
}

static void put_zones(struct assembler *a, const struct report *r)
{
	for (size_t i = 0; i < r->n_zones; i++) {
		struct row row = begin_row(a, ZONES);
		const struct zone *zone = &r->zones[i];
		const struct free_blocks *blocks = NULL;
		int64_t *counts = NULL;
		size_t n = 0;

		for (size_t k = 0; k < r->n_free_blocks && !blocks; k++)
			if (same_number(r->free_blocks[k].node, zone->node) && str_equal(r->free_blocks[k].zone, zone->name))
				blocks = &r->free_blocks[k];
		if (blocks) {
			n = counts_of(str_text(blocks->blocks), NULL, NULL, 0);
			counts = take(a, (n + 1) * sizeof *counts);
			counts_of(str_text(blocks->blocks), counts, NULL, n);
		}
		count_row(a, NULL);
		put_integer(&row, r->index);
		put(&row, zone->node);
		put_string(&row, zone->name);
		put_integer(&row, zone->free_kb);
		put_integer(&row, zone->min_kb);
		put_integer(&row, zone->low_kb);
		put_integer(&row, zone->high_kb);
		add_list(a, row.next++, true, zone->reserve, zone->n_reserve);
		put(&row, zone->highatomic_kb);
		put(&row, zone->cma_kb);
		add_list(a, row.next++, blocks, counts, n);
		give_back(a, counts);
	}
}

static void put_tasks(struct assembler *a, const struct report *r)
{
	const struct table *table = r->table;
	size_t n = (size_t)table->rows, width = (size_t)table->width;
	struct column *column = a->columns[TASKS].column;
	struct text names = text_of(table->names, table->names_size);

	if (!n)
		return;
	a->task_rows += table->rows;
	add_ints(a, column++, &r->index, 0, n, 0);
	add_ints(a, column++, table->cells, width, n, 0);
	for (size_t i = 0; i < n; i++) {
		const char *end = memchr(names.p, '\n', length(names));

		if (!end)
			fail(a, DAMAGED);
		add_text(a, column, (struct text){names.p, end});
		names.p = end + 1;
	}
	column++;
	for (int i = 0; i < TABLE_COLUMNS; i++, column++)
		if (table->position[i] < 0)
			add_nulls(a, column, n);
		else
			add_ints(a, column, table->cells + table->position[i], width, n, 0);
	add_ints(a, column, table->lines, 1, n, 0);
}

static void put_statistics(struct assembler *a, const struct report *r)
{
	a->task_rows += (int64_t)r->n_stats; /* they are as short */
	for (size_t i = 0; i < r->n_stats; i++) {
		struct row row = begin_row(a, STATISTICS);

		put_integer(&row, r->index);
		put_string(&row, r->stats[i].name);
		put_integer(&row, r->stats[i].value);
	}
}

static void put_counter(struct row *row, const struct counter *counter, bool has_limit)
{
	put(row, (struct number){counter->is_there, counter->usage_kb});
	if (has_limit)
		put(row, (struct number){counter->is_there, counter->limit_kb});
}

void put_report(struct assembler *a, struct report *r)
{
	static const char *const OUTCOMES[] = {"none", "killed", "skipped", "panic", "no-victim"};
	struct row row = begin_row(a, REPORTS);

	count_row(a, r->oom_memcg);
	put_integer(&row, r->index);
	put_integer(&row, r->boot);
	put_where(&row, &r->where);
	put_string(&row, r->comm);
	put(&row, r->pid);
	put_string(&row, r->kernel);
	put(&row, r->gfp_mask);
	put_string(&row, r->gfp_flags);
	put(&row, r->order);
	put(&row, r->adj);
	put_string(&row, r->constraint);
	add_text(a, row.next++, domain_of(r->oom_memcg, r->is_global));
	put_string(&row, r->oom_memcg);
	put_string(&row, r->task_memcg);
	put_string(&row, r->cpuset);
	put_string(&row, r->mems_allowed);
	put(&row, r->chosen_pid);
	put_string(&row, r->chosen_comm);
	put_counter(&row, &r->counters[MEMORY], true);
	put(&row, r->counters[MEMORY].failcnt);
	put_counter(&row, &r->counters[MEMSW], true);
	put_counter(&row, &r->counters[SWAP_USED], true);
	put_counter(&row, &r->counters[KMEM], false);
	put(&row, r->margin_kb);
	put(&row, r->zone_margin_kb);
	put(&row, r->anon_kb);
	put(&row, r->in_flight_kb);
	put(&row, (struct number){r->table && r->table->rows, r->table ? r->table->rows : 0});
	put(&row, r->page_kb);
	put(&row, r->total_swap_kb);
	put(&row, r->free_swap_kb);
	put_literal(&row, OUTCOMES[r->outcome]);
	put_answer(&row, *r->missing ? NO : YES);
	add_text(a, row.next, *r->missing ? text_of(r->missing, strlen(r->missing)) : (struct text){0});
	put_zones(a, r);
	if (r->table)
		put_tasks(a, r);
	put_statistics(a, r);
}

static void put_source(struct row *row, const struct kill *k)
{
	static const char *const SOURCES[] = {
		[SOURCE_UNKNOWN] = "unknown", [KNOWN] = "known", [BY_GROUP] = "inferred: the group's memcg lies in it",
		[BY_NEIGHBOUR] = "inferred: the only memcg that reported within 10 s",
	};
	char how[64];

	if (k->source == BY_TABLE)
		snprintf(how, sizeof how, "inferred: task table of report %" PRId64, k->source_report);
	put_literal(row, k->source == BY_TABLE ? how : SOURCES[k->source]);
}

static void put_sharing(struct row *row, const struct kill *k)
{
	size_t n = k->sharing.n;
	int64_t *pids = take(row->a, (n + 1) * sizeof *pids);

	for (size_t i = 0; i < n; i++)
		pids[i] = *(const int64_t *)queue_at(&k->sharing, i);
	add_list(row->a, row->next++, true, pids, n);
	give_back(row->a, pids);
}

void put_kill(struct assembler *a, const struct kill *k)
{
	struct row row = begin_row(a, KILLS);
	const struct report *r = k->report;

	count_row(a, k->oom_memcg);
	put_integer(&row, k->index);
	put_integer(&row, k->pid);
	put_string(&row, k->comm);
	put_where(&row, &k->where);
	put_integer(&row, k->boot);
	put_integer(&row, k->decision);
	put(&row, (struct number){r != NULL, r ? r->index : 0});
	put_integer(&row, k->chosen_pid);
	add_text(a, row.next++, domain_of(k->oom_memcg, k->is_global));
	put_string(&row, k->oom_memcg);
	put_source(&row, k);
	put_string(&row, k->task_memcg);
	put_string(&row, k->group);
	put(&row, k->total_vm_kb);
	put(&row, k->anon_kb);
	put(&row, k->file_kb);
	put(&row, k->shmem_kb);
	put(&row, k->uid);
	put(&row, k->pgtables_kb);
	put(&row, k->adj);
	put(&row, r ? r->margin_kb : (struct number){0});
	put(&row, !r || k->flight_kb.is_there ? k->flight_kb : r->in_flight_kb);
	put_answer(&row, k->overlap);
	put_string(&row, k->evidence);
	add_list(a, row.next++, true, k->earlier, k->n_earlier);
	put_sharing(&row, k);
	put_answer(&row, k->is_complete ? YES : NO);
}

void put_release(struct assembler *a, const struct release *r)
{
	struct row row = begin_row(a, RELEASES);

	count_row(a, NULL);
	put_integer(&row, r->index);
	put_string(&row, r->kind);
	put_integer(&row, r->pid);
	put_string(&row, r->comm);
	put_where(&row, &r->where);
	put_integer(&row, r->boot);
	put(&row, r->kill);
	put(&row, r->anon_kb);
	put(&row, r->file_kb);
	put(&row, r->shmem_kb);
	put_answer(&row, r->is_complete ? YES : NO);
}

void put_event(struct assembler *a, const struct event *e)
{
	struct row row = begin_row(a, EVENTS);

	count_row(a, e->text);
	put_string(&row, e->kind);
	put(&row, e->pid);
	put_string(&row, e->text);
	put_where(&row, &e->where);
	put_integer(&row, e->boot);
	put(&row, e->report);
}
