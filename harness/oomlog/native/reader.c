/* Reads a block of a log as _Reader.read_hit() in scan.py does, and gives the records as MessagePack. It stops at each line that it is
 * not sure of: the Python reader reads that one, and calls again for the lines behind it. */
#define _GNU_SOURCE /* memmem */
#include "reader.h"

int64_t line_at(struct reader *r, int64_t position)
{
	r->counted_line += count_newlines(r->data + r->counted, r->data + position);
	r->counted = position;
	return r->counted_line;
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
void flush_parts(struct reader *r, bool is_summary)
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
	put_word(&r->records, "ReportParts");
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

/* Lines */

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

static bool has_upper(struct text t)
{
	while (t.p < t.end && !is_upper(*t.p))
		t.p++;
	return length(t);
}

/* multiline.read_pieces(), of a record of rsyslog that holds the machine's lists. */
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

/* Where a line stands. A bare part of a report has the header's stamp, as the kernel printed them as one record. */
static void put_where(struct reader *r, const struct mark *mark, enum form form, const struct line *line)
{
	put_array(&r->records, 2);
	put_place(&r->records, r->line_number, r->offset + mark->start);
	if (line->is_bare && r->head_size && is_part(form))
		put_raw(&r->records, r->head_tail, r->head_size);
	else
		put_where_tail(&r->records, line);
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
	put_where(r, mark, form, &line);
	is_whole = read_line_form(r, &r->records, form, text, &line, raw, end, &comm);
	if (!is_whole) {
		r->records.n = before;
		if (form == EVENT)
			return !line.is_bare && is_plainly(r, mark, form, raw) && is_no_event(text);
		put_where(r, mark, form, &line);
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
		r->consumed_to = end;
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
bool read_line(struct reader *r)
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
