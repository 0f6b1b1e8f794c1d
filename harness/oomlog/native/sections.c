/* What follows a line of a report on lines of its own, as sections.py reads it: the rows of a task table, the memory statistics of a
 * memcg. Tables that only the reader of lines can read are in rowreader.c. */
#define _GNU_SOURCE /* memmem */
#include "reader.h"

int64_t count_newlines(const char *p, const char *end)
{
	int64_t n = 0;

	while (p < end) {
		/* small sums are added up sixteen at a time by the compiler */
		const char *stop = end - p > 192 ? p + 192 : end;
		uint8_t few = 0;

		for (; p < stop; p++)
			few += *p == '\n';
		n += few;
	}
	return n;
}

/* Whether a line names a caller: "[ T123]" or "caller=T123;". */
static bool names_caller(struct text t, struct text caller)
{
	for (const char *p; (p = memmem(t.p, length(t), caller.p, length(caller))); t.p = p + 1) {
		const char *after = p + length(caller), *before = p;

		if (after == t.end)
			return false;
		if (*after == ']') {
			while (before > t.p && is_blank(before[-1]))
				before--;
			if (before > t.p && before[-1] == '[')
				return true;
		}
		if ((*after == ';' || *after == ',') && p - t.p >= 7 && !memcmp(p - 7, "caller=", 7))
			return true;
	}
	return false;
}

/* sections._zone(): where the lines behind a head end. */
static int64_t zone_end(const struct reader *r, int64_t start, struct text caller, struct text host, bool has_rows)
{
	for (int64_t i = r->index + 1; i < (int64_t)r->marks.n; i++) {
		const struct mark *mark = &r->marks.mark[i];
		struct text t = text_at(r, mark);

		if (mark->start <= start || !contains(t, host) || (has_rows && is_row(t, false)))
			continue;
		if (!length(caller) || names_caller(t, caller))
			return mark->start;
	}
	return r->end;
}

/* sections._token(): what every line of the report holds. False where Python must look. */
static bool find_token(struct text raw, struct text caller, struct text host, char *token, size_t size, struct text *found)
{
	if (!length(raw) || strchr("{<>|", *raw.p) || begins(raw, "kern"))
		return false;
	if (length(caller)) {
		const char *p = memmem(raw.p, length(raw), caller.p, length(caller)), *begin = p;

		if (!p || p + length(caller) == raw.end || p[length(caller)] != ']')
			return false;
		while (begin > raw.p && is_blank(begin[-1]))
			begin--;
		if (begin == raw.p || begin[-1] != '[')
			return false;
		*found = (struct text){begin - 1, p + length(caller) + 1};
		return true;
	}
	if (length(host) + 16 > size)
		return false;
	token[0] = ' ';
	memcpy(token + 1, host.p, length(host));
	memcpy(token + 1 + length(host), " kernel: ", 9);
	*found = text_of(token, length(host) + 10);
	if (!contains(raw, *found))
		*found = contains(raw, text_of(" kernel: ", 9)) ? text_of(" kernel: ", 9) : text_of("[", 1);
	return true;
}

enum row { NO_ROW, ROW, UNSURE };

/* Takes the row of a line. `is_padded`: blanks behind names are none of theirs. */
static enum row add_row(struct reader *r, struct text text, const struct head *head, int64_t number, bool is_padded)
{
	int64_t cells[MAX_COLUMNS];
	struct text name;

	if (!read_row(text, head, cells, &name))
		return NO_ROW;
	if (length(name) && name.end[-1] == '\r')
		name.end--;
	if (memchr(name.p, '\r', length(name)) || (is_padded && memchr(name.p, '\x1b', length(name))))
		return UNSURE;
	if (is_padded)
		name = right_trimmed(name);
	put_raw(&r->table, cells, (size_t)head->n_columns * sizeof *cells);
	put_raw(&r->names, name.p, length(name));
	put_byte(&r->names, '\n');
	put_raw(&r->places, &number, sizeof number);
	return ROW;
}

static void drop_rows(struct reader *r)
{
	reset(&r->table);
	reset(&r->names);
	reset(&r->places);
}

/* The same of a row that was put together: a name with a blank may have been cut there. */
static bool add_joined_row(struct reader *r, struct text text, const struct head *head, int64_t number)
{
	size_t before = r->names.n;

	return add_row(r, text, head, number, false) == ROW && !memchr(r->names.p + before, ' ', r->names.n - before);
}

static bool is_stripped(struct text t)
{
	return length(t) && (uint8_t)*t.p > ' ' && (uint8_t)t.end[-1] > ' ';
}

/* Rows that a mailer wrapped: tasks.wrapped_table(). */
static bool read_wrapped_rows(struct reader *r, struct text raw, struct text token, struct text zone, const struct head *head, int64_t first_line)
{
	bool any_token = length(token) == 1;
	char joined[LONGEST_LINE];
	size_t n = 0;
	int64_t number = first_line, begun = 0;

	if (*raw.p != '[' || !length(zone) || *zone.p != '[' || zone.end[-1] != '\n')
		return false;
	for (const char *p = zone.p; p < zone.end; number++) {
		struct text t = next_line(p, zone.end);

		p = t.end + 1;
		if (!is_stripped(t) || memchr(t.p, '\r', length(t)))
			return false;
		if (*t.p == '[') {
			if (n && !add_joined_row(r, text_of(joined, n), head, begun))
				return false;
			if (!any_token && !contains(t, token))
				return false;
			n = 0;
			begun = number;
		} else if (memchr(t.p, '[', length(t))) {
			return false;
		}
		if (n + length(t) + 1 > sizeof joined)
			return false;
		if (n)
			joined[n++] = ' ';
		memcpy(joined + n, t.p, length(t));
		n += length(t);
	}
	return add_joined_row(r, text_of(joined, n), head, begun);
}

/* Rows with lines of others between them: sections._table_of_lines(), but for rows that were wrapped. */
static bool read_rows(struct reader *r, struct text raw, struct text token, struct text zone, const struct head *head, int64_t number,
		      bool is_padded, int64_t *foreign)
{
	int64_t run = 0;
	bool is_clean = true;

	for (const char *p = zone.p; p < zone.end; number++) {
		struct text t = next_line(p, zone.end);
		bool has_token = contains(t, token);
		enum row row = has_token ? add_row(r, t, head, number, is_padded) : NO_ROW;

		p = t.end + 1;
		if (row == ROW) {
			*foreign += run;
			run = 0;
			continue;
		}
		is_clean = false;
		if (!length(t))
			continue;
		if (row == UNSURE || is_like_row(t) || (*raw.p == '[' && *t.p != '[') || ++run > FOREIGN_RUN)
			return false;
	}
	return is_clean || r->places.n;
}

/* sections._table() */
bool read_table(struct reader *r, struct buffer *out, const struct head *head, struct text raw, struct text caller, struct text host,
		       int64_t head_end)
{
	int64_t stop = zone_end(r, head_end, caller, host, true), begin = head_end + 1 < stop ? head_end + 1 : stop, line;
	int64_t damaged = 0, foreign = 0;
	bool is_padded = is_blank(raw.end[-1]);
	char space[300];
	struct text token, zone = {r->data + begin, r->data + stop};

	if (!find_token(raw, caller, host, space, sizeof space, &token))
		return false;
	line = r->counted_line + count_newlines(r->data + r->counted, zone.p);
	drop_rows(r);
	if (!read_rows(r, raw, token, zone, head, line, is_padded, &foreign)) {
		drop_rows(r);
		foreign = 0;
		if (!read_wrapped_rows(r, raw, token, zone, head, line)) {
			drop_rows(r);
			if (!read_rows_by_lines(r, raw, token, zone, head, caller, line, r->data + head_end > raw.end, &damaged, &foreign))
				return false;
		}
	}
	put_array(out, 7);
	put_word(out, "TaskTable");
	put_array(out, (size_t)head->n_columns);
	for (int i = 0; i < head->n_columns; i++)
		put_text(out, head->columns[i]);
	put_bytes(out, r->table.p, r->table.n);
	put_bytes(out, r->names.p, r->names.n);
	put_bytes(out, r->places.p, r->places.n);
	put_number(out, damaged);
	put_number(out, foreign);
	return true;
}

/* "anon 4096" at the end of a line: sections._BULK_STATS */
static bool read_stat(struct text t, struct text *name, int64_t *value, bool *is_bare)
{
	struct text number;
	const char *p;

	if (length(t) && t.end[-1] == '\r')
		t.end--;
	for (p = t.end; p > t.p && is_digit(p[-1]); p--)
		;
	number = (struct text){p, t.end};
	if (!length(number) || p == t.p || p[-1] != ' ')
		return false;
	name->end = --p;
	while (p > t.p && is_word(p[-1]))
		p--;
	name->p = p;
	if (!length(*name) || !is_lower(*name->p) || (p > t.p && !is_blank(p[-1]) && p[-1] != ']' && p[-1] != ':'))
		return false;
	if (!eat_number(&number, value) || length(number))
		return false;
	while (p > t.p && is_blank(p[-1]))
		p--;
	*is_bare = p == t.p;
	return true;
}

/* sections._statistics() of values on lines of their own */
bool read_statistics(struct reader *r, struct buffer *out, struct text memcg, struct text raw, bool is_bare, struct text caller,
			    struct text host, int64_t head_end)
{
	int64_t stop = zone_end(r, head_end, caller, host, false), begin = head_end + 1 < stop ? head_end + 1 : stop;
	char space[300];
	struct text token, zone = {r->data + begin, r->data + stop};
	size_t n = 0;

	if (stop - begin >= MOST_STATS || !find_token(raw, caller, host, space, sizeof space, &token))
		return false;
	if (length(zone) && zone.end[-1] != '\n')
		return false;
	if (memmem(zone.p, length(zone), "#012", 4))
		return false;
	reset(&r->table);
	for (const char *p = zone.p; p < zone.end; n++) {
		struct text t = next_line(p, zone.end), name;
		int64_t value;
		bool is_alone;

		if (!read_stat(t, &name, &value, &is_alone) || !(is_bare || is_alone || contains(t, token)))
			return false;
		put_text(&r->table, name);
		put_number(&r->table, value);
		p = t.end + 1;
	}
	put_array(out, 3);
	put_word(out, "StatsHead");
	put_text(out, memcg);
	put_map(out, n);
	put_raw(out, r->table.p, r->table.n);
	return true;
}
