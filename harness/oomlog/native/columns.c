/* Columns as Arrow has them: https://arrow.apache.org/docs/format/Columnar.html. */
#include "columns.h"

void grow_bytes(struct assembler *a, struct bytes *bytes, size_t n)
{
	size_t capacity = (bytes->n + n) * 2 + 1024;

	bytes->p = resize(a, bytes->p, capacity);
	bytes->capacity = capacity;
}

/* So many bits of one value from the bit `at` on. */
static void add_bits(struct assembler *a, struct bytes *bits, size_t at, size_t n, bool value)
{
	size_t needed = (at + n + 7) / 8;

	if (needed > bits->n)
		add_bytes(a, bits, NULL, needed - bits->n);
	for (; n && (at % 8 || n < 8); at++, n--)
		if (value)
			bits->p[at / 8] = (char)(bits->p[at / 8] | 1 << at % 8);
	if (n && value) {
		memset(bits->p + at / 8, 0xff, n / 8);
		at += n / 8 * 8;
		n %= 8;
	}
	for (; n && value; at++, n--)
		bits->p[at / 8] = (char)(bits->p[at / 8] | 1 << at % 8);
}

/* The same of one bit, the next. */
static inline void add_bit(struct assembler *a, struct bytes *bits, size_t at, bool value)
{
	if (at / 8 == bits->n)
		add_bytes(a, bits, NULL, 1);
	bits->p[at / 8] = (char)(bits->p[at / 8] | value << at % 8);
}

/* Notes whether so many rows are there; call it before their data. */
static inline void add_valid(struct assembler *a, struct column *column, size_t n, bool is_there)
{
	if (!is_there && !column->nulls)
		add_bits(a, &column->valid, 0, column->rows, true);
	if (!is_there)
		column->nulls += n;
	if (column->nulls && n == 1)
		add_bit(a, &column->valid, column->rows, is_there);
	else if (column->nulls)
		add_bits(a, &column->valid, column->rows, n, is_there);
	column->rows += n;
}

void add_int(struct assembler *a, struct column *column, struct number value)
{
	int64_t cell = value.is_there ? value.value : 0;

	add_valid(a, column, 1, value.is_there);
	add_bytes(a, &column->data, &cell, sizeof cell);
}

void add_float(struct assembler *a, struct column *column, bool is_there, double value)
{
	double cell = is_there ? value : 0;

	add_valid(a, column, 1, is_there);
	add_bytes(a, &column->data, &cell, sizeof cell);
}

void add_bool(struct assembler *a, struct column *column, answer value)
{
	add_bit(a, &column->data, column->rows, value == YES);
	add_valid(a, column, 1, value != UNKNOWN);
}

/* Bytes of the UTF-8 sequence that a text begins with, 0 where it is none. */
static size_t sequence(struct text t)
{
	const uint8_t *p = (const uint8_t *)t.p;
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	if (!n || n > length(t))
		return 0;
	for (size_t i = 1; i < n; i++)
		if (p[i] >> 6 != 2)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] >= 0xa0) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

static void add_end(struct assembler *a, struct column *column, size_t end)
{
	int32_t ends[2] = {0, (int32_t)end};

	/* Python takes the rows long before */
	if (end > INT32_MAX)
		fail(a, NO_MEMORY);
	if (!column->ends.n)
		add_bytes(a, &column->ends, ends, sizeof ends);
	else
		add_bytes(a, &column->ends, ends + 1, sizeof *ends);
}

/* Where the ASCII that a text begins with ends. */
static const char *end_of_ascii(struct text t)
{
	uint64_t word;

	for (; length(t) >= sizeof word; t.p += sizeof word) {
		memcpy(&word, t.p, sizeof word);
		if (word & 0x8080808080808080)
			break;
	}
	while (t.p < t.end && (uint8_t)*t.p < 0x80)
		t.p++;
	return t.p;
}

/* A text as schema.printable() has it: a byte that is no UTF-8 shows as \xNN. */
void add_text(struct assembler *a, struct column *column, struct text t)
{
	static const char DIGITS[] = "0123456789abcdef";

	add_valid(a, column, 1, t.p);
	while (length(t)) {
		const char *begin = t.p;
		size_t n = 1;

		for (t.p = end_of_ascii(t); t.p < t.end && (n = sequence(t));)
			t.p += n;
		add_bytes(a, &column->data, begin, (size_t)(t.p - begin));
		if (t.p < t.end) {
			char shown[4] = {'\\', 'x', DIGITS[(uint8_t)*t.p >> 4], DIGITS[(uint8_t)*t.p & 15]};

			add_bytes(a, &column->data, shown, sizeof shown);
			t.p++;
		}
	}
	add_end(a, column, column->data.n);
}

void add_list(struct assembler *a, struct column *column, bool is_there, const int64_t *values, size_t n)
{
	add_valid(a, column, 1, is_there);
	add_bytes(a, &column->data, values, is_there && values ? n * sizeof *values : 0);
	add_end(a, column, column->data.n / sizeof *values);
}

/* Numbers that stand `stride` apart, each with so much added. */
void add_ints(struct assembler *a, struct column *column, const int64_t *first, size_t stride, size_t n, int64_t plus)
{
	int64_t *cells;

	add_valid(a, column, n, true);
	add_bytes(a, &column->data, NULL, n * sizeof *cells);
	cells = (int64_t *)(void *)(column->data.p + column->data.n) - n;
	for (size_t i = 0; i < n; i++)
		cells[i] = first[i * stride] + plus;
}

void add_nulls(struct assembler *a, struct column *column, size_t n)
{
	add_valid(a, column, n, false);
	add_bytes(a, &column->data, NULL, n * sizeof(int64_t));
}

void clear_columns(struct columns columns[TABLES])
{
	for (int table = 0; table < TABLES; table++)
		for (size_t i = 0; i < columns[table].n; i++) {
			struct column *column = &columns[table].column[i];

			column->rows = column->nulls = 0;
			column->valid.n = column->data.n = column->ends.n = 0;
		}
}
