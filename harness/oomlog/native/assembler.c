/* The assembler, for Python: columns.py. */
#include "assembler.h"

#include <stdlib.h>

/* What a call returns that failed. The memory is given back; what was read is lost with it. */
static int lose(struct assembler *a, int failure)
{
	give_back_all(a);
	a->is_lost = true;
	return failure;
}

static bool prepare(struct assembler *a)
{
	if (setjmp(a->failed))
		return false;
	a->highest_decision = -1;
	open_columns(a->columns);
	a->host = str_of(a, text_of("", 0));
	return true;
}

struct assembler *oomtrial_open_assembler(void)
{
	struct assembler *a = calloc(1, sizeof *a);

	if (a && !prepare(a)) {
		give_back_all(a);
		free(a);
		return NULL;
	}
	return a;
}

static void end_choices(struct assembler *a)
{
	for (size_t i = 0; i < a->n_hosts; i++)
		end_boot(a, a->hosts[i].boot);
}

/* What `feed` is given. */
struct fed {
	struct text records;
	int64_t n, line_base, sequence_gaps;
};

/* Does a piece of work, which may give up by longjmp() at any depth. Gives 0, or why it failed. */
static int guarded(struct assembler *a, void (*work)(struct assembler *, const struct fed *), const struct fed *fed)
{
	if (a->is_lost)
		return DAMAGED;
	switch (setjmp(a->failed)) { /* it may stand in few places, and be kept in none */
	case 0: break;
	case NO_MEMORY: return lose(a, NO_MEMORY);
	default: return lose(a, DAMAGED);
	}
	work(a, fed);
	return 0;
}

static void begin_log(struct assembler *a, const struct fed *fed)
{
	(void)fed;
	end_choices(a);
	forget_boots(a);
}

static void feed(struct assembler *a, const struct fed *fed)
{
	a->missing.sequence_gaps = fed->sequence_gaps;
	feed_records(a, fed->records, fed->n, fed->line_base);
}

static void end_log(struct assembler *a, const struct fed *fed)
{
	(void)fed;
	end_choices(a);
	settle(a, NULL);
}

/* What follows is another log. Each of these calls gives 0, or why it failed. */
int oomtrial_begin_log(struct assembler *a)
{
	return guarded(a, begin_log, NULL);
}

int oomtrial_feed(struct assembler *a, const char *records, int64_t size, int64_t n, int64_t line_base, int64_t sequence_gaps)
{
	return guarded(a, feed, &(struct fed){text_of(records, (size_t)size), n, line_base, sequence_gaps});
}

/* Gives what still waited for more of the log. */
int oomtrial_end_log(struct assembler *a)
{
	return guarded(a, end_log, NULL);
}

/* A column of the rows so far, or NULL. */
const struct column *oomtrial_column(const struct assembler *a, int table, int column)
{
	return !a->is_lost && table < TABLES && (size_t)column < a->columns[table].n ? &a->columns[table].column[column] : NULL;
}

/* The rows were taken. */
void oomtrial_clear_rows(struct assembler *a)
{
	clear_columns(a->columns);
	a->rows = a->task_rows = 0;
}

void oomtrial_close_assembler(struct assembler *a)
{
	give_back_all(a);
	free(a);
}
