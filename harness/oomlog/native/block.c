/* The reader, for Python: compiled.py. */
#define _GNU_SOURCE /* memmem */
#include "reader.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifndef SOURCE
#define SOURCE ""
#endif

enum { KEPT_BLOCK = 32 << 20, KEPT_BYTES = 64 << 20 };

/* A hash of the sources, so that a library of other sources is not taken. */
const char *oomtrial_source(void) { return SOURCE; }

/* For a program that does nothing but read logs: memory of a block is kept for the next. Else it goes back to the kernel with each, which
 * clears every page of it before it gives it out again: a tenth of the time of a search. */
void oomtrial_keep_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}

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
	r->consumed_to = r->header = r->first_table = -1;
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

		if (mark->start <= r->consumed_to)
			continue;
		r->line_number = line_at(r, mark->start);
		if (!read_line(r))
			break;
	}
	if (r->index == r->n_marks) {
		flush_parts(r, false);
		r->lines = line_at(r, r->end) - r->first_line + (r->end == r->size && r->size && r->data[r->size - 1] != '\n');
	}
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

enum { LAST_PIECE = 1 << 16 };

/* Where a word stands last, or -1. */
int64_t oomtrial_find_last(const char *data, int64_t size, const char *word, int64_t n)
{
	const char *last = NULL;

	/* by pieces from the end: what stands before the last one is not looked at */
	for (int64_t begin = size; begin > 0 && !last;) {
		int64_t end = begin + n - 1 < size ? begin + n - 1 : size; /* a word may begin in one piece and end in the next */
		const char *p;

		begin = begin > LAST_PIECE ? begin - LAST_PIECE : 0;
		p = data + begin;
		while ((p = memmem(p, (size_t)(data + end - p), word, (size_t)n)))
			last = p++;
	}
	return last ? last - data : -1;
}
