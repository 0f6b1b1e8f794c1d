/* The state of a block that is read. */
#ifndef OOMTRIAL_READER_H
#define OOMTRIAL_READER_H

#include "native.h"

enum {
	WHERE_TAIL = 1024,    /* bytes of what a place says behind its line and offset */
	LONGEST_LINE = 4000,  /* of a form; a longer one is left to Python */
	MOST_STATS = 1 << 16, /* bytes of memory statistics, as in sections.py */
	FOREIGN_RUN = 40,     /* lines of others that end a table, as in sections.py */
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
	/* what Python reads and writes; compiled.py has the same fields */
	int64_t index;        /* of the mark to be read next */
	int64_t consumed_to;  /* end of what wrapped lines have taken */
	int64_t line_number;  /* of the mark at `index` */
	int64_t n_marks;
	int64_t header;       /* mark of the header that was read last here, -1 where Python read it */
	int64_t header_line;
	int64_t first_table;  /* where the first line with the word of a table's head begins, or -1 */
	int64_t lines;        /* that begin in the block; known at its end */
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

static inline void reset(struct buffer *buffer) { buffer->n = 0; }

static inline struct text text_at(const struct reader *r, const struct mark *mark)
{
	return (struct text){r->data + mark->start, r->data + mark->end};
}

/* Whether a text has a word in it. memmem() is of GNU: the sources that include this define _GNU_SOURCE. */
static inline bool contains(struct text t, struct text word)
{
	return !length(word) || memmem(t.p, length(t), word.p, length(word));
}

static inline bool same_bytes(struct text one, struct text other)
{
	return length(one) == length(other) && !memcmp(one.p, other.p, length(one));
}

/* The line that begins at `p`. */
static inline struct text next_line(const char *p, const char *stop)
{
	const char *newline = memchr(p, '\n', (size_t)(stop - p));

	return (struct text){p, newline ? newline : stop};
}

static inline bool is_plain(struct text t)
{
	for (; t.p < t.end; t.p++)
		if (((uint8_t)*t.p < ' ' && *t.p != '\t') || (uint8_t)*t.p >= 0x7f)
			return false;
	return true;
}

int64_t count_newlines(const char *p, const char *end);
int64_t line_at(struct reader *r, int64_t position);
bool read_line(struct reader *r);
void flush_parts(struct reader *r, bool is_summary);

/* Headers, and what they tell of the lines behind them. */
void set_origin(struct reader *r, struct text raw, const struct line *line, int64_t number, int64_t offset);
bool text_behind_origin(const struct origin *o, struct text raw, struct text *text);
bool is_simple_name(struct text t);
bool is_sure_name(struct text comm, const struct line *line);

/* Lines that were wrapped into several, and the rows of a table among them. */
struct text join(char *space, size_t size, struct text begun, const struct text *rests, int n, int way, bool has_blanks);
bool read_rows_by_lines(struct reader *r, struct text raw, struct text token, struct text zone, const struct head *head, struct text caller,
			int64_t number, bool is_wrapped, int64_t *damaged, int64_t *foreign);
bool read_wrapped_line(struct reader *r, struct buffer *out, enum form form, struct text raw, struct line *line, int64_t *end, struct text *comm);

/* What follows a head on lines of its own; false where Python must read it. */
bool read_table(struct reader *r, struct buffer *out, const struct head *head, struct text raw, struct text caller, struct text host,
		int64_t head_end);
bool read_statistics(struct reader *r, struct buffer *out, struct text memcg, struct text raw, bool is_bare, struct text caller, struct text host,
		     int64_t head_end);

#endif
