/* Lines that were wrapped: rejoin.py. */
#define _GNU_SOURCE /* memmem, in reader.h */
#include "reader.h"

/* rows.is_hard_wrap() */
static bool is_hard_wrap(size_t width, size_t next_width)
{
	static const size_t WIDTHS[] = {80, 100, 120, 132, 160, 200, 240};

	for (size_t i = 0; i < sizeof WIDTHS / sizeof *WIDTHS; i++)
		if (width == WIDTHS[i])
			return true;
	return width == next_width;
}

/* rows.joined(): a blank at each joint or none; the first way is the likely one everywhere. A text that is NULL where there is no room. */
struct text join(char *space, size_t size, struct text begun, const struct text *rests, int n, int way, bool has_blanks)
{
	size_t used = length(begun = n ? right_trimmed(begun) : begun);

	if (used + 1 > size)
		return (struct text){0};
	memcpy(space, begun.p, used);
	for (int i = 0; i < n; i++) {
		bool is_second = way >> (n - 1 - i) & 1;

		if (used + length(rests[i]) + 1 > size)
			return (struct text){0};
		if (is_second != has_blanks)
			space[used++] = ' ';
		memcpy(space + used, rests[i].p, length(rests[i]));
		used += length(rests[i]);
	}
	return text_of(space, used);
}

static bool is_of_bare_rest(char c) { return is_word(c) || c == '=' || c == '/' || c == ',' || c == '.' || c == '-' || c == '@' || c == '\\'; }

/* Whether a line without a stamp is certainly the rest of a summary without one: it has no blank or colon, so it has no prefix and begins no form. */
static bool is_bare_rest(struct text t)
{
	return length(t) && (is_lower(*t.p) || *t.p == '_' || *t.p == '/' || *t.p == '=') && !begins(t, "mems_allowed=") &&
	       is_made_of(t, is_of_bare_rest);
}

/* rejoin.parse(), for a line behind a kernel's stamp and the lines that it was wrapped into, and for a summary without a stamp, which the
 * kernel begins with a newline. */
bool read_wrapped_line(struct reader *r, struct buffer *out, enum form form, struct text raw, struct line *line, int64_t *end, struct text *comm)
{
	struct text rests[PIECES - 1];
	const char *stop = r->data + r->size, *p = raw.end;
	bool has_blanks = !begins(line->text, "oom-kill:"); /* a summary has none but in names */

	if (line->is_bare ? !begins(raw, "oom-kill:constraint=") || is_blank(raw.end[-1]) : *raw.p != '[')
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
		if (n == 1 && is_hard_wrap(length(raw), length(next)))
			has_blanks = false;
		rests[n - 1] = trimmed(next);
		if (!length(rests[n - 1]) || (line->is_bare && !is_bare_rest(next)))
			return false;
		for (int way = 0; way < 1 << n; way++) {
			struct text text = join(space, sizeof space, line->text, rests, n, way, has_blanks);
			size_t before = out->n;
			bool is_read;

			if (!text.p)
				return false;
			if (form == KILL) {
				is_read = read_killed(out, text);
			} else if (form == HEADER) {
				is_read = read_header(out, text, comm) && is_sure_name(*comm, line);
			} else if (form == SUMMARY) {
				is_read = read_part(out, SUMMARY, text);
			} else if (form == GROUP_KILL) {
				is_read = read_group_kill(out, text);
			} else {
				struct head head;

				is_read = read_table_head(text, &head);
				if (is_read && !read_table(r, out, &head, raw, line->caller, line->host, p - r->data)) {
					out->n = before;
					return false;
				}
			}
			if (is_read) {
				struct text more = p + 1 < stop ? trimmed(next_line(p + 1, stop)) : (struct text){p, p};

				if (begins(more, ", UID:") || begins(more, "UID:"))
					return false; /* a kill of 5.1 to 5.3, or a later one that goes on */
				*end = p - r->data;
				return true;
			}
			out->n = before;
		}
	}
	return false;
}
