/* Reads a block of a log as _Reader.read() in scan.py does, and gives the records as MessagePack. It stops at each line that it is
 * not sure of: the Python reader reads that one, and calls again for the lines behind it. */
#define _GNU_SOURCE /* memmem */
#include "native.h"

#include <stdlib.h>

enum {
	WHERE_TAIL = 1024,    /* bytes of what a place says behind its line and offset */
	LONGEST_LINE = 4000,  /* of a form; a longer one is left to Python */
	MOST_STATS = 1 << 16, /* bytes of memory statistics, as in scan.py */
	FOREIGN_RUN = 40,     /* lines of others that end a table, as in scan.py */
	PIECES = 4,           /* lines that one line was wrapped into */
};

/* The prefix of a header, as origin.py has it. */
struct origin {
	bool is_there, is_bare;
	char masked[512], caller[64], host[256];
	size_t length, caller_length, host_length;
	int64_t line, offset; /* of the header */
};

struct reader {
	/* what Python reads and writes; native.py has the same fields */
	int64_t index;        /* of the mark to be read next */
	int64_t used;         /* end of what wrapped lines have taken */
	int64_t line_number;  /* of the mark at `index` */
	int64_t n_marks;
	int64_t header;       /* mark of the header that was read last here, -1 where Python read it */
	int64_t header_line;
	int64_t first_table;  /* where the first line with the word of a table's head begins, or -1 */
	int64_t lines;        /* that begin in the block */
	int64_t n_records;    /* in `out` */
	int64_t n_ended;      /* of these: lines with an end that can be told */
	const char *out;      /* records, as MessagePack */
	int64_t out_size;
	const struct mark *marks_of; /* all of them */
	int64_t is_encoded;
	/* its own */
	const char *data;
	int64_t size, end, offset, first_line;
	const struct words *words;
	struct marks marks;
	struct buffer records, parts, table, names, places;
	size_t n_parts;
	int64_t part_start, part_line;
	struct origin origin;
	char head_tail[WHERE_TAIL], origin_tail[WHERE_TAIL];
	size_t head_size, origin_size; /* 0: no header yet */
	int64_t counted, counted_line;
	uint8_t form_of[256];
};

static void reset(struct buffer *buffer) { buffer->n = 0; }

static int64_t count_newlines(const char *p, const char *end)
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

static int64_t line_at(struct reader *r, int64_t position)
{
	r->counted_line += count_newlines(r->data + r->counted, r->data + position);
	r->counted = position;
	return r->counted_line;
}

static struct text text_at(const struct reader *r, const struct mark *mark)
{
	return (struct text){r->data + mark->start, r->data + mark->end};
}

static bool is_plain(struct text t)
{
	for (; t.p < t.end; t.p++)
		if (((uint8_t)*t.p < ' ' && *t.p != '\t') || (uint8_t)*t.p >= 0x7f)
			return false;
	return true;
}

/* Places */

static void put_where_tail(struct buffer *out, const struct line *line)
{
	if (line->has_uptime)
		put_float(out, line->uptime_s);
	else
		put_nothing(out);
	if (line->has_wall)
		put_float(out, line->wall_s);
	else
		put_nothing(out);
	put_bool(out, line->is_yearless);
	put_text(out, line->caller);
	put_text(out, line->host);
	put_word(out, "");
	put_nothing(out);
}

static void put_place(struct buffer *out, int64_t line, int64_t offset)
{
	put_array(out, 9);
	put_number(out, line);
	put_number(out, offset);
}

/* Gives the parts of a report that were read so far. */
static void flush_parts(struct reader *r, bool is_summary)
{
	bool is_own = is_summary || r->origin.is_bare;

	if (!r->n_parts)
		return;
	put_array(&r->records, 2);
	if (is_own)
		put_place(&r->records, r->part_line, r->offset + r->part_start);
	else
		put_place(&r->records, r->origin.line, r->origin.offset);
	put_raw(&r->records, r->origin_tail, r->origin_size);
	put_array(&r->records, 2);
	put_word(&r->records, "Parts");
	put_array(&r->records, r->n_parts);
	put_raw(&r->records, r->parts.p, r->parts.n);
	r->n_records++;
	r->n_parts = 0;
	reset(&r->parts);
}

/* Tables and statistics */

static bool contains(struct text t, struct text word)
{
	return !length(word) || memmem(t.p, length(t), word.p, length(word));
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

/* scan._zone(): where the lines behind a head end. */
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

/* scan._token(): what every line of the report holds. False where Python must look. */
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

static struct text next_line(const char *p, const char *stop)
{
	const char *newline = memchr(p, '\n', (size_t)(stop - p));

	return (struct text){p, newline ? newline : stop};
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

/* Rows with lines of others between them: scan._table_of_lines(), but for rows that were wrapped. */
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

/* scan._table() */
static bool read_table(struct reader *r, struct buffer *out, const struct head *head, struct text raw, struct text caller, struct text host,
		       int64_t head_end)
{
	int64_t stop = zone_end(r, head_end, caller, host, true), begin = head_end + 1 < stop ? head_end + 1 : stop, line, foreign = 0;
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
		if (!read_wrapped_rows(r, raw, token, zone, head, line))
			return false;
	}
	put_array(out, 7);
	put_word(out, "TaskTable");
	put_array(out, (size_t)head->n_columns);
	for (int i = 0; i < head->n_columns; i++)
		put_text(out, head->columns[i]);
	put_bytes(out, r->table.p, r->table.n);
	put_bytes(out, r->names.p, r->names.n);
	put_bytes(out, r->places.p, r->places.n);
	put_number(out, 0);
	put_number(out, foreign);
	return true;
}

/* "anon 4096" at the end of a line: scan._BULK_STATS */
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

/* scan._statistics() of values on lines of their own */
static bool read_statistics(struct reader *r, struct buffer *out, struct text memcg, struct text raw, bool is_bare, struct text caller,
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

/* A part of a report, with what follows it. */
static bool read_whole_part(struct reader *r, struct buffer *out, enum form form, struct text text, struct text raw, const struct line *line,
			    int64_t end)
{
	if (form == TABLE) {
		struct head head;

		return read_table_head(text, &head) && read_table(r, out, &head, raw, line->caller, line->host, end);
	}
	if (form == STATS) {
		struct text memcg;
		bool is_whole;

		if (!read_stats_head(out, text, &memcg, &is_whole))
			return false;
		return is_whole || read_statistics(r, out, memcg, raw, line->is_bare, line->caller, line->host, end);
	}
	return read_part(out, form, text);
}

/* Headers */

static char masked(char c) { return c >= '1' && c <= '9' ? '0' : c; }

static void set_origin(struct reader *r, struct text raw, const struct line *line, int64_t number, int64_t offset)
{
	struct origin *o = &r->origin;
	size_t n = length(raw) - length(line->text);

	o->is_there = n < sizeof o->masked && length(line->caller) < sizeof o->caller && length(line->host) < sizeof o->host;
	if (!o->is_there || memchr(raw.p, '<', n) || memchr(raw.p, '{', n)) {
		o->is_there = false;
		return;
	}
	o->is_bare = line->is_bare;
	o->length = line->is_bare ? 0 : n;
	for (size_t i = 0; i < o->length; i++)
		o->masked[i] = masked(raw.p[i]);
	o->caller_length = length(line->caller);
	memcpy(o->caller, line->caller.p, o->caller_length);
	o->host_length = length(line->host);
	memcpy(o->host, line->host.p, o->host_length);
	o->line = number;
	o->offset = offset;
	memcpy(r->origin_tail, r->head_tail, r->head_size);
	r->origin_size = r->head_size;
}

/* Origin.text_of() */
static bool text_behind_origin(const struct origin *o, struct text raw, struct text *text)
{
	struct text prefix = {raw.p, raw.p + o->length};

	*text = raw;
	if (!o->length)
		return true;
	if (length(raw) < o->length)
		return false;
	for (size_t i = 0; i < o->length; i++)
		if (masked(raw.p[i]) != o->masked[i])
			return false;
	text->p += o->length;
	return contains(prefix, text_of(o->caller, o->caller_length)) && contains(prefix, text_of(o->host, o->host_length));
}

/* Lines */

/* A name that no prefix looks like: "kworker/0:2" may have a number behind its colon. */
static bool is_simple_name(struct text t)
{
	if (!length(t) || !(is_lower(*t.p) || is_upper(*t.p)) || begins(t, "kern"))
		return false;
	for (; t.p < t.end && *t.p != ':'; t.p++)
		if (!is_word(*t.p) && *t.p != '-' && *t.p != '.' && *t.p != '/')
			return false;
	if (!length(t))
		return true;
	for (t.p++; t.p < t.end && is_digit(*t.p); t.p++)
		;
	return !length(t) && is_digit(t.end[-1]);
}

/* rescue.is_name(), for names that leave no doubt */
static bool is_sure_name(struct text comm, const struct line *line)
{
	int colons = 0;

	if (!length(comm) || *comm.p == ' ' || *comm.p == '\t')
		return false;
	if (line->is_bare && !is_simple_name(comm))
		return false;
	for (const char *p = comm.p; p < comm.end; p++) {
		colons += *p == ':';
		if (*p == '[' || (*p == '.' && p + 1 < comm.end && is_digit(p[1])))
			return false;
	}
	return colons < 2 && !(colons && line->has_wall && !line->has_uptime && !line->is_yearless);
}

static bool read_line_form(struct reader *r, struct buffer *out, enum form form, struct text text, struct line *line, struct text raw,
			   int64_t end, struct text *comm)
{
	switch (form) {
	case KILL: return read_killed(out, text) || read_chosen(out, text);
	case HEADER: return read_header(out, text, comm) && is_sure_name(*comm, line);
	case REAPED: return read_reaped(out, text);
	case GROUP_KILL: return read_group_kill(out, text);
	default: return read_whole_part(r, out, form, text, raw, line, end);
	}
}

/* scan._parse(), for a line behind a kernel's stamp and the lines that it was wrapped into. */
static bool read_wrapped_line(struct reader *r, struct buffer *out, enum form form, struct text raw, struct line *line, int64_t *end, struct text *comm)
{
	struct text begun = right_trimmed(line->text), rests[PIECES - 1];
	const char *stop = r->data + r->size, *p = raw.end;
	bool is_summary = begins(begun, "oom-kill:");

	if (line->is_bare || *raw.p != '[')
		return false;
	if (form == KILL) {
		if (!begins(line->text, "Memory cgroup out of memory: Killed process ") && !begins(line->text, "Out of memory: Killed process "))
			return false;
	} else if (form == SUMMARY) {
		if (find(line->text, " mems_allowed="))
			return false;
	} else if (form == GROUP_KILL) {
		if (!begins(line->text, "Tasks in "))
			return false;
	} else if (form != HEADER && form != TABLE) {
		return false;
	}
	for (int n = 1; n < PIECES; n++) {
		struct text next;
		char space[LONGEST_LINE];

		if (p + 1 >= stop || p[1] == '[')
			return false;
		next = next_line(p + 1, stop);
		p = next.end;
		if (!is_plain(next))
			return false;
		rests[n - 1] = trimmed(next);
		if (!length(rests[n - 1]))
			return false;
		/* a blank at each joint or none: all ways, those first that are likely */
		for (int way = 0; way < 1 << n; way++) {
			size_t used = length(begun), before = out->n;
			bool is_read;

			if (used + 1 > sizeof space)
				return false;
			memcpy(space, begun.p, used);
			for (int i = 0; i < n; i++) {
				bool is_second = way >> (n - 1 - i) & 1;

				if (used + length(rests[i]) + 1 > sizeof space)
					return false;
				if (is_second == is_summary)
					space[used++] = ' ';
				memcpy(space + used, rests[i].p, length(rests[i]));
				used += length(rests[i]);
			}
			if (form == KILL) {
				is_read = read_killed(out, text_of(space, used));
			} else if (form == HEADER) {
				is_read = read_header(out, text_of(space, used), comm) && is_sure_name(*comm, line);
			} else if (form == SUMMARY) {
				is_read = read_part(out, SUMMARY, text_of(space, used));
			} else if (form == GROUP_KILL) {
				is_read = read_group_kill(out, text_of(space, used));
			} else {
				struct head head;

				is_read = read_table_head(text_of(space, used), &head);
				if (is_read && !read_table(r, out, &head, raw, line->caller, line->host, p - r->data)) {
					out->n = before;
					return false;
				}
			}
			if (is_read) {
				*end = p - r->data;
				return true;
			}
			out->n = before;
		}
	}
	return false;
}

/* scan._of_pieces(), of a record of rsyslog that holds the machine's lists. */
static bool read_lists_of_record(struct reader *r, struct text text, const struct line *line, int64_t start)
{
	for (int pass = 0; pass < 2; pass++) {
		struct text rest = text;

		for (int n = 0; length(rest); n++) {
			const char *p = find(rest, "#012");
			struct text piece = trimmed((struct text){rest.p, p ? p : rest.end});
			size_t before = r->records.n;

			rest.p = p ? p + 4 : rest.end;
			if (!pass && !is_list(piece))
				return false;
			if (!pass)
				continue;
			put_array(&r->records, 2);
			put_place(&r->records, r->line_number, r->offset + start);
			put_where_tail(&r->records, line);
			if (read_part(&r->records, LISTS, piece))
				r->n_records++;
			else
				r->records.n = before;
		}
	}
	return true;
}

/* Reads the line at `index`. False where Python must. */
static bool read_line(struct reader *r)
{
	const struct mark *mark = &r->marks.mark[r->index];
	enum form form = mark->n_words > MAX_FORMS ? OTHER : r->form_of[mark->words[0]];
	struct text raw = text_at(r, mark), text, comm = {0};
	size_t before;
	struct line line;
	int64_t end = mark->end;
	bool is_whole;

	for (int i = 1; form == NOTHING && i < mark->n_words; i++)
		form = r->form_of[mark->words[i]];
	if (form == NOTHING)
		return true;
	if (length(raw) > LONGEST_LINE || form == OTHER || !is_plain(raw))
		return false;
	if (r->origin.is_there && is_part(form) && !(r->origin.is_bare && (form == SUMMARY || form == CPUSET)) &&
	    text_behind_origin(&r->origin, raw, &text)) {
		struct line known = {.is_bare = r->origin.is_bare, .caller = text_of(r->origin.caller, r->origin.caller_length),
				     .host = text_of(r->origin.host, r->origin.host_length)};

		before = r->parts.n;
		if (!find(text, "#012") && read_whole_part(r, &r->parts, form, text, raw, &known, mark->end)) {
			r->n_parts++;
			r->part_start = mark->start;
			r->part_line = r->line_number;
			if (form == SUMMARY) {
				r->n_ended++;
				flush_parts(r, true);
			}
			return true;
		}
		r->parts.n = before;
	}
	flush_parts(r, false);
	if (!peel(raw, &line))
		return false;
	if (line.is_bare && mark->start >= 8 && !memcmp(raw.p - 8, "MESSAGE\n", 8))
		return false;
	text = line.text;
	if (find(raw, "=3D") || find(raw, "<br") || raw.end[-1] == '=')
		return false;
	if (find(text, "#012"))
		return form == LISTS && read_lists_of_record(r, text, &line, mark->start);
	if (length(text) && *text.p == '[' && is_row(text, true))
		return true;
	if (form == ZONE && mark->n_words == 1 && begins(trimmed(text), "free:") && is_list(trimmed(text)))
		return true; /* of the machine, not of a zone: nobody asks for it */
	if (form == CPUSET && !line.has_uptime) {
		/* a name with a colon may look like a prefix */
		const char *name_end = find(text, " cpuset=");

		if (!name_end || !is_simple_name((struct text){text.p, name_end}))
			return false;
	}
	before = r->records.n;
	put_array(&r->records, 2);
	if (line.is_bare && r->head_size && is_part(form)) {
		put_place(&r->records, r->line_number, r->offset + mark->start);
		put_raw(&r->records, r->head_tail, r->head_size);
	} else {
		put_place(&r->records, r->line_number, r->offset + mark->start);
		put_where_tail(&r->records, &line);
	}
	is_whole = read_line_form(r, &r->records, form, text, &line, raw, end, &comm);
	if (!is_whole) {
		r->records.n = before;
		put_array(&r->records, 2);
		put_place(&r->records, r->line_number, r->offset + mark->start);
		put_where_tail(&r->records, &line);
		for (int i = 1; i < mark->n_words; i++)
			if (r->form_of[mark->words[i]] != form && !(form == SUMMARY && r->form_of[mark->words[i]] == CPUSET)) {
				r->records.n = before;
				return false;
			}
		if (!read_wrapped_line(r, &r->records, form, raw, &line, &end, &comm)) {
			r->records.n = before;
			return false;
		}
		r->used = end;
	}
	r->n_records++;
	r->n_ended += form == KILL || form == HEADER || form == SUMMARY;
	if (form == HEADER) {
		struct buffer tail = {.p = r->head_tail, .capacity = sizeof r->head_tail};

		if (length(line.caller) + length(line.host) > sizeof r->head_tail / 2) {
			r->n_records--;
			r->n_ended--;
			r->records.n = before;
			return false;
		}
		put_where_tail(&tail, &line);
		r->head_size = tail.n;
		set_origin(r, raw, &line, r->line_number, r->offset + mark->start);
		r->header = r->index;
		r->header_line = r->line_number;
	}
	return true;
}

/* For Python */

#ifndef SOURCE
#define SOURCE ""
#endif

/* A hash of the sources, so that a library of other sources is not taken. */
const char *oomtrial_source(void) { return SOURCE; }

struct reader *oomtrial_open(const struct words *words, const char *data, int64_t size, int64_t end, int64_t offset, int64_t line)
{
	struct reader *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->words = words;
	r->data = data;
	r->size = size;
	r->end = end;
	r->offset = offset;
	r->first_line = r->counted_line = line;
	r->used = r->header = r->first_table = -1;
	if (!mark_lines(words, data, (size_t)size, (size_t)end, &r->marks)) {
		free(r->marks.mark);
		free(r);
		return NULL;
	}
	for (int number = 0; number < 256; number++)
		r->form_of[number] = (uint8_t)form_of(words, number);
	r->n_marks = (int64_t)r->marks.n;
	r->marks_of = r->marks.mark;
	r->is_encoded = r->marks.is_encoded;
	for (size_t i = 0; i < r->marks.n && r->first_table < 0; i++)
		for (int k = 0; k < r->marks.mark[i].n_words && k < MAX_FORMS; k++)
			if (r->form_of[r->marks.mark[i].words[k]] == TABLE)
				r->first_table = r->marks.mark[i].start;
	r->lines = count_newlines(data, data + end) + (end == size && size && data[size - 1] != '\n');
	return r;
}

static int give(struct reader *r)
{
	r->out = r->records.p;
	r->out_size = (int64_t)r->records.n;
	if (r->records.is_lost || r->parts.is_lost || r->table.is_lost || r->names.is_lost || r->places.is_lost)
		return -1;
	return r->index < r->n_marks;
}

/* Reads on from `index`. True where it stopped at a line for Python, false at the end; -1 where there was no memory. */
int oomtrial_read(struct reader *r)
{
	reset(&r->records);
	r->n_records = r->n_ended = 0;
	for (; r->index < r->n_marks; r->index++) {
		const struct mark *mark = &r->marks.mark[r->index];

		if (mark->start <= r->used)
			continue;
		r->line_number = line_at(r, mark->start);
		if (!read_line(r))
			break;
	}
	if (r->index == r->n_marks)
		flush_parts(r, false);
	return give(r);
}

/* Takes the part that Python read at `index`. The same for what it returns. */
int oomtrial_add_part(struct reader *r, const char *part, int64_t size, bool is_summary)
{
	put_raw(&r->parts, part, (size_t)size);
	r->n_parts++;
	r->part_start = r->marks.mark[r->index].start;
	r->part_line = r->line_number;
	if (is_summary)
		flush_parts(r, true);
	return give(r);
}

/* Python read another line at `index`: the report's parts before it are given. */
int oomtrial_end_parts(struct reader *r)
{
	flush_parts(r, false);
	return give(r);
}

/* Takes the header that Python read: its prefix, and its place behind line and offset as MessagePack. */
void oomtrial_set_header(struct reader *r, const char *tail, int64_t tail_size, const char *prefix, int64_t prefix_size, const char *caller,
			 int64_t caller_size, const char *host, int64_t host_size, int64_t line, int64_t offset, bool has_origin, bool is_bare)
{
	struct line known = {.is_bare = is_bare, .caller = text_of(caller, (size_t)caller_size), .host = text_of(host, (size_t)host_size)};
	struct text raw = text_of(prefix, (size_t)prefix_size);

	r->header = -1;
	r->origin.is_there = false;
	r->head_size = tail_size <= WHERE_TAIL ? (size_t)tail_size : 0;
	memcpy(r->head_tail, tail, r->head_size);
	if (!has_origin || !r->head_size)
		return;
	known.text = (struct text){raw.end, raw.end};
	set_origin(r, raw, &known, line, offset);
}

void oomtrial_close(struct reader *r)
{
	free(r->marks.mark);
	free(r->records.p);
	free(r->parts.p);
	free(r->table.p);
	free(r->names.p);
	free(r->places.p);
	free(r);
}

/* Where a word stands last, or -1. */
int64_t oomtrial_find_last(const char *data, int64_t size, const char *word, int64_t n)
{
	const char *last = NULL, *p = data;

	while ((p = memmem(p, (size_t)(data + size - p), word, (size_t)n)))
		last = p++;
	return last ? last - data : -1;
}
