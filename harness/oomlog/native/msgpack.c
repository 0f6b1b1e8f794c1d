/* MessagePack: https://github.com/msgpack/msgpack/blob/master/spec.md. Any encoding of a number is taken by its readers. */
#include "native.h"

#include <stdlib.h>

/* Makes room for so many bytes. False where there is no memory: the buffer is lost. */
bool grow(struct buffer *out, size_t n)
{
	size_t capacity = (out->n + n) * 2 + 4096;
	char *grown = out->is_lost ? NULL : realloc(out->p, capacity);

	if (!grown) {
		out->is_lost = true;
		return false;
	}
	out->p = grown;
	out->capacity = capacity;
	return true;
}

static void put_big_endian(struct buffer *out, uint8_t type, uint64_t value, int bytes)
{
	uint8_t raw[9] = {type};

	for (int i = 0; i < bytes; i++)
		raw[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	put_raw(out, raw, 1 + (size_t)bytes);
}

void put_array(struct buffer *out, size_t n)
{
	if (n < 16)
		put_byte(out, 0x90 | (uint8_t)n);
	else
		put_big_endian(out, 0xdd, n, 4);
}

void put_map(struct buffer *out, size_t n)
{
	if (n < 16)
		put_byte(out, 0x80 | (uint8_t)n);
	else
		put_big_endian(out, 0xdf, n, 4);
}

void put_text(struct buffer *out, struct text t)
{
	size_t n = length(t);

	if (n < 32)
		put_byte(out, 0xa0 | (uint8_t)n);
	else
		put_big_endian(out, 0xdb, n, 4);
	put_raw(out, t.p, n);
}

void put_word(struct buffer *out, const char *word) { put_text(out, text_of(word, strlen(word))); }

void put_bytes(struct buffer *out, const void *p, size_t n)
{
	put_big_endian(out, 0xc6, n, 4);
	put_raw(out, p, n);
}

void put_number(struct buffer *out, int64_t value)
{
	if (value >= 0 && value < 128)
		put_byte(out, (uint8_t)value);
	else if (value >= 0 && value <= UINT32_MAX)
		put_big_endian(out, 0xce, (uint64_t)value, 4);
	else
		put_big_endian(out, 0xd3, (uint64_t)value, 8);
}

void put_float(struct buffer *out, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	put_big_endian(out, 0xcb, bits, 8);
}

void put_bool(struct buffer *out, bool value) { put_byte(out, value ? 0xc3 : 0xc2); }
void put_nothing(struct buffer *out) { put_byte(out, 0xc0); }
