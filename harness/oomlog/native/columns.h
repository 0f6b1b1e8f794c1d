/* Columns of tables, as Arrow has them. */
#ifndef OOMTRIAL_COLUMNS_H
#define OOMTRIAL_COLUMNS_H

#include "memory.h"

enum column_type { INT_COLUMN, FLOAT_COLUMN, TEXT_COLUMN, BOOL_COLUMN, LIST_COLUMN };
struct bytes {
	char *p;
	size_t n, capacity;
};
struct column {
	enum column_type type;
	size_t rows, nulls;
	struct bytes valid, data, ends; /* `valid` is empty where nothing is null; `ends`: of texts and lists */
};

enum { REPORTS, KILLS, RELEASES, TASKS, EVENTS, ZONES, STATISTICS, TABLES, MOST_COLUMNS = 48 };
struct columns {
	size_t n;
	struct column column[MOST_COLUMNS];
};

void open_columns(struct columns columns[TABLES]);
void clear_columns(struct columns columns[TABLES]);
void grow_bytes(struct assembler *a, struct bytes *bytes, size_t n);

/* So many bytes, or zeros. It stands here as it is of every cell. */
static inline void add_bytes(struct assembler *a, struct bytes *bytes, const void *p, size_t n)
{
	if (n > bytes->capacity - bytes->n)
		grow_bytes(a, bytes, n);
	if (n && p)
		memcpy(bytes->p + bytes->n, p, n);
	else if (n)
		memset(bytes->p + bytes->n, 0, n);
	bytes->n += n;
}
void add_int(struct assembler *a, struct column *column, struct number value);
void add_float(struct assembler *a, struct column *column, bool is_there, double value);
void add_bool(struct assembler *a, struct column *column, answer value);
void add_text(struct assembler *a, struct column *column, struct text text);
void add_list(struct assembler *a, struct column *column, bool is_there, const int64_t *values, size_t n);
void add_ints(struct assembler *a, struct column *column, const int64_t *first, size_t stride, size_t n, int64_t plus);
void add_nulls(struct assembler *a, struct column *column, size_t n);

#endif
