/* Memory, strings and queues of the assembler. */
#ifndef OOMTRIAL_MEMORY_H
#define OOMTRIAL_MEMORY_H

#include "native.h"

struct assembler;

/* Memory. All of it hangs on the assembler: where there is none left, or a record is damaged, the call ends there and all is freed. */
enum failure { NO_MEMORY = 1, DAMAGED = 2 };
void *take(struct assembler *a, size_t n); /* zeroed */
void *resize(struct assembler *a, void *p, size_t n);
void give_back(struct assembler *a, void *p);
void give_back_all(struct assembler *a);
_Noreturn void fail(struct assembler *a, enum failure failure);

/* A string that several hold; NULL is Python's None. */
struct str {
	int64_t refs;
	uint64_t hash;
	size_t n;
	char bytes[];
};

uint64_t hash_of(const void *p, size_t n);
struct str *str_of(struct assembler *a, struct text t); /* NULL for a text that is NULL */
void str_drop(struct assembler *a, struct str *s);
bool str_is(const struct str *s, struct text t);
bool str_equal(const struct str *one, const struct str *other);
static inline struct str *str_keep(struct str *s)
{
	if (s)
		s->refs++;
	return s;
}
static inline bool has_text(const struct str *s) { return s && s->n; }
static inline struct text str_text(const struct str *s) { return s ? text_of(s->bytes, s->n) : (struct text){0}; }
/* Puts another in the place of one; the other is the caller's no more. */
static inline void str_set(struct assembler *a, struct str **place, struct str *s)
{
	struct str *old = *place;

	*place = s;
	str_drop(a, old);
}

/* Pointers in order, taken off at the front or added at the back. */
struct queue {
	void **at;
	size_t first, n, capacity;
};

static inline void *queue_at(const struct queue *queue, size_t i) { return queue->at[(queue->first + i) & (queue->capacity - 1)]; }
void queue_push(struct assembler *a, struct queue *queue, void *p);
void *queue_pop(struct queue *queue);
static inline void *queue_last(const struct queue *queue) { return queue->n ? queue_at(queue, queue->n - 1) : NULL; }

static inline bool same_text(struct text one, struct text other)
{
	return !one.p == !other.p && length(one) == length(other) && !(length(one) && memcmp(one.p, other.p, length(one)));
}

/* A number, or None. */
struct number {
	bool is_there;
	int64_t value;
};

static inline struct number number_of(int64_t value) { return (struct number){true, value}; }
static inline int64_t clamped(__int128 value) { return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value; }
static inline bool same_number(struct number one, struct number other)
{
	return one.is_there == other.is_there && (!one.is_there || one.value == other.value);
}

/* Yes, no, or None. */
typedef int8_t answer;
enum { UNKNOWN = -1, NO, YES };

#endif
