/* Heads and rows of task tables: tasks.py. */
#include "native.h"

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
