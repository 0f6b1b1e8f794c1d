/* Reads a block of a log as _Reader.read_marked() in scan.py does, and gives the records as MessagePack. It stops at each line that it is
 * not sure of: the Python reader reads that one, and calls again for the lines behind it. */
#define _GNU_SOURCE /* memmem */
#include "reader.h"

#include <stdlib.h>

static int64_t line_at(struct reader *r, int64_t position)
{
	r->counted_line += count_newlines(r->data + r->counted, r->data + position);
	r->counted = position;
	return r->counted_line;
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

/* "runc:[2:INIT]", as a container's first process is called before it is itself */
static bool is_runc(struct text t)
{
	if (!eat(&t, "runc:[") || !length(t) || !is_digit(*t.p))
		return false;
	for (t.p++; length(t) && (is_upper(*t.p) || *t.p == ':'); t.p++)
		;
	return eat_char(&t, ']') && !length(t);
}

/* rescue.is_name(), for names that leave no doubt */
static bool is_sure_name(struct text comm, const struct line *line)
{
	int colons = 0;

	if (is_runc(comm))
		return line->is_bare || line->has_uptime || line->is_yearless;
	if (!length(comm) || *comm.p == ' ' || *comm.p == '\t')
		return false;
	if (line->is_bare && !is_simple_name(comm))
		return false;
	if (!line->has_uptime && line->has_wall && !line->is_yearless && is_digit(*comm.p))
		return false; /* numbers may be of a record of /dev/kmsg */
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
	case EVENT: return read_event(out, text);
	default: return read_whole_part(r, out, form, text, raw, line, end);
	}
}

/* rejoin.parse(), for a line behind a kernel's stamp and the lines that it was wrapped into. */
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

static bool has_upper(struct text t)
{
	while (t.p < t.end && !is_upper(*t.p))
		t.p++;
	return length(t);
}

/* scan._of_pieces(), of a record of rsyslog that holds the machine's lists. */
static bool read_lists_of_record(struct reader *r, struct text text, const struct line *line, int64_t start)
{
	int n = 0;

	for (int pass = 0; pass < 2; pass++) {
		struct text rest = text;

		while (length(rest)) {
			const char *p = find(rest, "#012");
			struct text piece = trimmed((struct text){rest.p, p ? p : rest.end});
			size_t before = r->records.n;

			rest.p = p ? p + 4 : rest.end;
			if (!pass) {
				if (!is_list(piece) || (has_upper(piece) && !begins(piece, "Active_anon:")))
					return false;
				n++;
				continue;
			}
			put_array(&r->records, 2);
			put_place(&r->records, r->line_number, r->offset + start);
			put_where_tail(&r->records, line);
			if (read_part(&r->records, LISTS, piece))
				r->n_records++;
			else
				r->records.n = before;
		}
		if (n < 2)
			return false;
	}
	return true;
}

/* Whether all words of a line are of one form, and nothing in it looks like markup, behind which the Python reader would look. */
static bool is_plainly(const struct reader *r, const struct mark *mark, enum form form, struct text raw)
{
	for (int i = 0; i < mark->n_words; i++)
		if (r->form_of[mark->words[i]] != form)
			return false;
	for (const char *p = raw.p; p < raw.end; p++)
		if (*p == '&' || *p == '<' || *p == '{' || *p == '`' || *p == '*')
			return false;
	return true;
}

/* Whether what follows a line with a stamp is certainly no rest of it: Rejoiner._rests(). */
static bool stands_alone(const struct reader *r, struct text raw)
{
	const char *next = raw.end + 1, *stop = r->data + r->size;
	struct line line;

	if (next >= stop)
		return true;
	if (*raw.p == '[')
		return *next == '[';
	raw = next_line(next, stop);
	return is_plain(raw) && peel(raw, &line) && !line.is_bare;
}

static bool try_line(struct reader *r)
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
		if (form == EVENT)
			return !line.is_bare && is_plainly(r, mark, form, raw) && is_no_event(text);
		put_array(&r->records, 2);
		put_place(&r->records, r->line_number, r->offset + mark->start);
		put_where_tail(&r->records, &line);
		is_whole = form == KILL && !line.is_bare && is_plainly(r, mark, form, raw) && stands_alone(r, raw) &&
			   read_cut_kill(&r->records, text);
	}
	if (!is_whole) {
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

/* Reads the line at `index`. False where Python must; then the parts before it wait for what Python makes of it. */
static bool read_line(struct reader *r)
{
	size_t records = r->records.n, parts = r->parts.n, n_parts = r->n_parts;
	int64_t n_records = r->n_records;

	if (try_line(r))
		return true;
	r->records.n = records;
	r->parts.n = parts;
	r->n_parts = n_parts;
	r->n_records = n_records;
	return false;
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
