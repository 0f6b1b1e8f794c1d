/* What a header's line tells of the lines behind it: origin.py, and names as unknown_prefixes.py judges them. */
#define _GNU_SOURCE /* memmem, in reader.h */
#include "reader.h"

static char masked(char c) { return c >= '1' && c <= '9' ? '0' : c; }

void set_origin(struct reader *r, struct text raw, const struct line *line, int64_t number, int64_t offset)
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
bool text_behind_origin(const struct origin *o, struct text raw, struct text *text)
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

/* A name that no prefix looks like: "kworker/0:2" may have a number behind its colon. */
bool is_simple_name(struct text t)
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

/* unknown_prefixes.is_plausible_comm(), for names that leave no doubt */
bool is_sure_name(struct text comm, const struct line *line)
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
