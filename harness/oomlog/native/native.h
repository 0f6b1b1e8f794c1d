/* What the parts of the compiled reader share. Everything here is of one block of a log, and keeps no state beyond it. */
#ifndef OOMTRIAL_NATIVE_H
#define OOMTRIAL_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A piece of the block, or of a buffer. */
struct text {
	const char *p, *end;
};

static inline size_t length(struct text t) { return (size_t)(t.end - t.p); }
static inline struct text text_of(const char *p, size_t n) { return (struct text){p, p + n}; }
static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
static inline bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static inline bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool is_word(char c) { return is_lower(c) || is_upper(c) || is_digit(c) || c == '_'; }

static inline bool begins(struct text t, const char *word)
{
	size_t n = strlen(word);
	return length(t) >= n && !memcmp(t.p, word, n);
}

/* Takes a word off the beginning. */
static inline bool eat(struct text *t, const char *word)
{
	if (!begins(*t, word))
		return false;
	t->p += strlen(word);
	return true;
}

static inline bool eat_char(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

/* Takes a number of 1 to 18 digits, as the expressions of the Python reader do; a longer one is left to them. */
static inline bool eat_number(struct text *t, int64_t *value)
{
	const char *p = t->p;
	uint64_t sum = 0; /* it holds a digit too many */

	while (p < t->end && is_digit(*p) && p - t->p < 19)
		sum = sum * 10 + (uint64_t)(*p++ - '0');
	if (p == t->p || p - t->p > 18)
		return false;
	t->p = p;
	*value = (int64_t)sum;
	return true;
}

static inline bool eat_signed(struct text *t, int64_t *value)
{
	bool is_negative = eat_char(t, '-');

	if (!eat_number(t, value))
		return false;
	if (is_negative)
		*value = -*value;
	return true;
}

static inline bool eat_blanks(struct text *t)
{
	const char *p = t->p;

	while (t->p < t->end && *t->p == ' ')
		t->p++;
	return t->p > p;
}

static inline struct text trimmed(struct text t)
{
	while (t.p < t.end && is_blank(*t.p))
		t.p++;
	while (t.p < t.end && is_blank(t.end[-1]))
		t.end--;
	return t;
}

static inline struct text right_trimmed(struct text t)
{
	while (t.p < t.end && is_blank(t.end[-1]))
		t.end--;
	return t;
}

/* Where a word begins in a text, or NULL. */
static inline const char *find(struct text t, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = t.p; (size_t)(t.end - p) >= n; p++) {
		p = memchr(p, word[0], (size_t)(t.end - p) - n + 1);
		if (!p)
			return NULL;
		if (!memcmp(p, word, n))
			return p;
	}
	return NULL;
}

/* The same for the last place. */
static inline const char *find_last(struct text t, const char *word)
{
	const char *last = NULL;

	for (const char *p; (p = find(t, word)); t.p = p + 1)
		last = p;
	return last;
}

/* MessagePack, as msgspec decodes it into the records of the Python reader. */
struct buffer {
	char *p;
	size_t n, capacity;
	bool is_lost; /* there was no memory: nothing of it counts */
};

bool grow(struct buffer *out, size_t n);

/* These are of every cell and byte: they stand here so that each source has them in its loops. */
static inline void put_raw(struct buffer *out, const void *p, size_t n)
{
	if (n > out->capacity - out->n && !grow(out, n))
		return;
	if (n)
		memcpy(out->p + out->n, p, n);
	out->n += n;
}

static inline void put_byte(struct buffer *out, uint8_t byte)
{
	if (out->n == out->capacity && !grow(out, 1))
		return;
	out->p[out->n++] = (char)byte;
}

void put_array(struct buffer *out, size_t n);
void put_map(struct buffer *out, size_t n);
void put_text(struct buffer *out, struct text t);
void put_word(struct buffer *out, const char *word);
void put_bytes(struct buffer *out, const void *p, size_t n);
void put_number(struct buffer *out, int64_t value);
void put_float(struct buffer *out, double value);
void put_bool(struct buffer *out, bool value);
void put_nothing(struct buffer *out);

static inline void put_optional(struct buffer *out, bool is_there, int64_t value)
{
	if (is_there)
		put_number(out, value);
	else
		put_nothing(out);
}

enum { LONGEST_COMM = 15 }; /* bytes: TASK_COMM_LEN without its end */

/* A word, a number and "kB". */
static inline bool eat_size(struct text *t, const char *word, int64_t *kb)
{
	struct text rest = *t;

	if (!eat(&rest, word) || !eat_number(&rest, kb) || !eat(&rest, "kB"))
		return false;
	*t = rest;
	return true;
}

static inline bool is_made_of(struct text t, bool (*is_one)(char))
{
	for (; t.p < t.end; t.p++)
		if (!is_one(*t.p))
			return false;
	return true;
}

/* Takes a name off the beginning; it may be empty. */
static inline struct text eat_name(struct text *t)
{
	struct text name = {t->p, t->p};

	while (t->p < t->end && is_word(*t->p))
		t->p++;
	name.end = t->p;
	return name;
}

/* The forms of lines, as triggers.py numbers their parsers. */
enum form {
	OTHER, /* the Python reader has it */
	KILL,
	HEADER,
	SUMMARY,
	REAPED,
	GROUP_KILL,
	CPU,
	CPUSET,
	TASK_IN,
	LIMIT,
	USAGE,
	STATS,
	NOTHING, /* its word ends the statistics before it */
	TABLE,
	ZONE,
	RESERVE,
	BUDDY,
	LISTS,
	SWAP,
	RAM,
	PROTECTION,
	ENCODED, /* the block is to be decoded first */
	EVENT, /* with "Kernel panic" or "OOM killer " */
};

static inline bool is_part(enum form form)
{
	return form == SUMMARY || (form >= CPU && form <= PROTECTION && form != NOTHING && form != LIMIT);
}

/* A line that holds words of forms. */
enum { MAX_FORMS = 6 };
struct mark {
	int64_t start, end; /* of its text, the newline left out */
	uint8_t n_words;    /* MAX_FORMS + 1: more than fit */
	uint8_t words[MAX_FORMS]; /* numbers of the words, in the order of their ends */
};

struct marks {
	struct mark *mark;
	size_t n, capacity;
	bool is_encoded; /* a word says that the block must be decoded first */
};

enum { MAX_WORDS = 120 };
struct words;
enum form form_of(const struct words *words, int number);
bool mark_lines(const struct words *words, const char *data, size_t n, size_t end, struct marks *marks);

/* Columns of the heads of task tables. */
enum { MAX_COLUMNS = 16 };
struct head {
	int n_columns; /* pid first, the name left out */
	struct text columns[MAX_COLUMNS];
};

/* What a prefix says of a line. */
struct line {
	struct text text;
	bool is_bare, has_uptime, has_wall, is_yearless;
	double uptime_s, wall_s;
	struct text caller, host;
};

bool peel(struct text raw, struct line *line);

/* Whether a form was read whole; where not, nothing was put. */
bool read_killed(struct buffer *out, struct text text);
bool read_cut_kill(struct buffer *out, struct text text);
bool read_chosen(struct buffer *out, struct text text);
bool read_header(struct buffer *out, struct text text, struct text *comm);
bool read_reaped(struct buffer *out, struct text text);
bool read_group_kill(struct buffer *out, struct text text);
bool read_event(struct buffer *out, struct text text);
bool is_no_event(struct text text);
bool read_part(struct buffer *out, enum form form, struct text text);
bool read_zone(struct buffer *out, struct text t);
bool read_reserve(struct buffer *out, struct text t);
bool read_buddy(struct buffer *out, struct text t);
bool read_lists(struct buffer *out, struct text t);
bool read_swap(struct buffer *out, struct text t);
bool read_ram(struct buffer *out, struct text t);
bool read_table_head(struct text text, struct head *head);
bool is_list(struct text text);
bool read_stats_head(struct buffer *out, struct text text, struct text *memcg, bool *is_whole);

bool is_row(struct text text, bool is_anchored);
bool is_like_row(struct text text);
bool read_row(struct text text, const struct head *head, int64_t *cells, struct text *name);

#endif
