/* Rows of a task table that must be read line by line: rows that were wrapped at blanks of their own, lines of others between them.
 * rows.RowReader and sections._table_by_lines(), for lines behind a kernel's stamp and the plain rests of these. */
#define _GNU_SOURCE /* memmem, in reader.h */
#include "reader.h"

enum { MOST_OTHERS = 2000 }; /* lines of other callers, as in sections.py */

struct row_reader {
	struct reader *r;
	const struct head *head;
	struct text pending[PIECES]; /* of a row that is not whole yet */
	int n_pending;
	int64_t pending_line, rows, damaged, foreign, run;
};

/* Text of which no prefix is made: each has a colon or a bracket. */
static bool is_of_rest(char c) { return is_word(c) || c == ' ' || c == '-' || c == '.' || c == '/' || c == '+'; }

static bool has_edge_blank(struct text t) { return !length(t) || is_blank(*t.p) || is_blank(t.end[-1]); }

/* Whether the bulk readers of sections.py certainly leave this table to the reader of lines. `wrapped_table` does so for a blank at the edge
 * of a line, `_table_of_lines` where a row was wrapped, and a line is none or a name has a blank. */
static bool is_for_row_reader(struct text token, struct text zone, const struct head *head)
{
	char joined[LONGEST_LINE];
	size_t n = 0;
	bool has_edge = false, has_wrapped = false, has_other = false, has_blank = false, is_wrapped = false;

	for (const char *p = zone.p; p < zone.end;) {
		struct text t = next_line(p, zone.end), next, rest = trimmed(t), name;
		int64_t cells[MAX_COLUMNS];

		if (!is_plain(t) || length(t) + n + 1 > sizeof joined)
			return false;
		p = t.end + 1;
		has_edge = has_edge || has_edge_blank(t);
		if (length(t) && *t.p != '[' && n) {
			has_wrapped = is_wrapped = true;
			joined[n++] = ' ';
			t = rest;
		} else if (length(t)) {
			is_wrapped = false;
			n = 0;
		}
		memcpy(joined + n, t.p, length(t));
		n += length(t);
		next = next_line(p < zone.end ? p : zone.end, zone.end);
		if (!n || (p < zone.end && (!length(next) || *next.p != '[')))
			continue; /* it goes on */
		if (!contains(text_of(joined, n), token) || !read_row(text_of(joined, n), head, cells, &name))
			has_other = true;
		else
			has_blank = has_blank || (is_wrapped && memchr(name.p, ' ', length(name)));
	}
	return has_edge && has_wrapped && (has_other || has_blank);
}

/* RowReader._try() */
static bool try_row(struct row_reader *rows)
{
	int n = rows->n_pending - 1;
	char space[LONGEST_LINE];

	for (int way = 0; way < 1 << n; way++) {
		int64_t cells[MAX_COLUMNS];
		struct text t = join(space, sizeof space, rows->pending[0], rows->pending + 1, n, way, true), name;

		if (!t.p || memchr(t.p + 1, '[', length(t) - 1))
			return false;
		if (!read_row(t, rows->head, cells, &name))
			continue;
		put_raw(&rows->r->table, cells, (size_t)rows->head->n_columns * sizeof *cells);
		put_raw(&rows->r->names, name.p, length(name));
		put_byte(&rows->r->names, '\n');
		put_raw(&rows->r->places, &rows->pending_line, sizeof rows->pending_line);
		rows->rows++;
		rows->n_pending = 0;
		break;
	}
	return true;
}

/* RowReader.take(); false where Python must see the line. */
static bool take_line(struct row_reader *rows, struct text text, bool is_bare, bool is_wrapped, int64_t number)
{
	struct text pid = text;

	if (eat_char(&pid, '[')) {
		int64_t skipped;

		eat_blanks(&pid);
		if (!eat_number(&pid, &skipped) || !eat_char(&pid, ']') || (eat_char(&pid, ' '), length(pid) && *pid.p == '['))
			return false;
		rows->damaged += rows->n_pending > 0;
		rows->run = 0;
		rows->pending[0] = text;
		rows->n_pending = 1;
		rows->pending_line = number;
		return try_row(rows);
	}
	if (is_bare && length(text) && rows->n_pending && rows->n_pending < PIECES) {
		rows->pending[rows->n_pending++] = text;
		return try_row(rows);
	}
	if (is_bare && length(text) && is_wrapped && rows->rows && !rows->run && !memchr(text.p, ' ', length(text))) {
		rows->r->names.n--; /* the last name goes on */
		put_raw(&rows->r->names, text.p, length(text));
		put_byte(&rows->r->names, '\n');
	} else {
		rows->foreign++;
		rows->run++;
	}
	return true;
}

/* TaskTable.unpadded() */
static void unpad(struct buffer *names)
{
	size_t n = 0;

	for (size_t i = 0; i < names->n; i++) {
		if (names->p[i] == '\n')
			while (n && is_blank(names->p[n - 1]))
				n--;
		names->p[n++] = names->p[i];
	}
	names->n = n;
}

bool read_rows_by_lines(struct reader *r, struct text raw, struct text token, struct text zone, const struct head *head, struct text caller,
			int64_t number, bool is_wrapped, int64_t *damaged, int64_t *foreign)
{
	struct row_reader rows = {.r = r, .head = head};
	int64_t others = 0;

	if (*raw.p != '[' || !length(zone) || *zone.p != '[' || zone.end[-1] != '\n' || !is_for_row_reader(token, zone, head))
		return false;
	for (const char *p = zone.p; p < zone.end && rows.run <= FOREIGN_RUN; number++) {
		struct text t = next_line(p, zone.end);
		struct line line = {.is_bare = true, .caller = {t.p, t.p}};

		p = t.end + 1;
		if (length(t) && *t.p == '[') {
			if (!peel(t, &line) || !line.has_uptime)
				return false;
		} else {
			if (!is_made_of(t, is_of_rest))
				return false;
			eat_blanks(&t);
			line.text = t;
		}
		if (length(caller) && length(line.caller) && !same_bytes(caller, line.caller)) {
			if (++others > MOST_OTHERS)
				return false;
			rows.foreign++;
		} else if (!take_line(&rows, line.text, line.is_bare, is_wrapped, number)) {
			return false;
		}
	}
	if (is_blank(raw.end[-1]))
		unpad(&r->names);
	*damaged = rows.damaged + (rows.n_pending > 0);
	*foreign = rows.foreign - (rows.run < rows.foreign ? rows.run : rows.foreign);
	return true;
}
