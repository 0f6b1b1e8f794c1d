/* Memory, strings and queues of the assembler. */
#include "assembler.h"

#include <stdlib.h>

/* What stands before each piece of memory; aligned for whatever follows. */
struct block {
	_Alignas(16) struct block *next;
	struct block *before;
	size_t class; /* of its size; 0 for one that is large */
};

/* Small pieces are kept for the next of their size: most live as long as a report. With the sanitizer none is, so that it sees a use after
 * the end. */
#ifdef __SANITIZE_ADDRESS__
enum { STEP = 64, LARGEST_KEPT = 0 };
#else
enum { STEP = 64, LARGEST_KEPT = STEP * (CLASSES - 1) };
#endif

static size_t class_of(size_t n) { return n <= LARGEST_KEPT ? (n + STEP - 1) / STEP : 0; }

_Noreturn void fail(struct assembler *a, enum failure failure) { longjmp(a->failed, (int)failure); }

static void link_block(struct assembler *a, struct block *block)
{
	block->before = NULL;
	block->next = a->blocks;
	if (a->blocks)
		a->blocks->before = block;
	a->blocks = block;
}

static void unlink_block(struct assembler *a, struct block *block)
{
	if (block->before)
		block->before->next = block->next;
	else
		a->blocks = block->next;
	if (block->next)
		block->next->before = block->before;
}

void *take(struct assembler *a, size_t n)
{
	size_t class = class_of(n);
	struct block *block = a->kept[class];

	if (class && block) {
		a->kept[class] = block->next;
		memset(block + 1, 0, n);
	} else {
		block = n <= SIZE_MAX / 2 ? calloc(1, sizeof *block + (class ? class * STEP : n)) : NULL;
		if (!block)
			fail(a, NO_MEMORY);
		block->class = class;
	}
	link_block(a, block);
	return block + 1;
}

void *resize(struct assembler *a, void *p, size_t n)
{
	struct block *block, *grown;

	if (!p)
		return take(a, n);
	block = (struct block *)p - 1;
	if (block->class) {
		size_t before = block->class * STEP;
		void *larger = n > before ? take(a, n) : p;

		if (larger != p) {
			memcpy(larger, p, before);
			give_back(a, p);
		}
		return larger;
	}
	unlink_block(a, block);
	grown = n <= SIZE_MAX / 2 ? realloc(block, sizeof *block + n) : NULL;
	link_block(a, grown ? grown : block);
	if (!grown)
		fail(a, NO_MEMORY);
	return grown + 1;
}

void give_back(struct assembler *a, void *p)
{
	struct block *block;

	if (!p)
		return;
	block = (struct block *)p - 1;
	unlink_block(a, block);
	if (!block->class) {
		free(block);
		return;
	}
	block->next = a->kept[block->class];
	a->kept[block->class] = block;
}

static void free_list(struct block **first)
{
	while (*first) {
		struct block *block = *first;

		*first = block->next;
		free(block);
	}
}

void give_back_all(struct assembler *a)
{
	free_list(&a->blocks);
	for (size_t class = 0; class < CLASSES; class++)
		free_list(&a->kept[class]);
}

uint64_t hash_of(const void *p, size_t n)
{
	const uint8_t *bytes = p;
	uint64_t hash = 0xcbf29ce484222325 ^ n;

	for (; n >= 8; n -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	for (; n; n--)
		hash = (hash ^ *bytes++) * 0x100000001b3;
	return hash ^ hash >> 29;
}

struct str *str_of(struct assembler *a, struct text t)
{
	size_t n = length(t);
	uint64_t hash;
	struct str **slot, *s;

	if (!t.p)
		return NULL;
	hash = hash_of(t.p, n);
	slot = &a->strings[hash % STRINGS];
	if (*slot && (*slot)->hash == hash && str_is(*slot, t))
		return str_keep(*slot);
	s = take(a, sizeof *s + n);
	s->refs = 1;
	s->hash = hash;
	s->n = n;
	if (n)
		memcpy(s->bytes, t.p, n);
	str_drop(a, *slot);
	*slot = str_keep(s);
	return s;
}

void str_drop(struct assembler *a, struct str *s)
{
	if (s && !--s->refs)
		give_back(a, s);
}

bool str_is(const struct str *s, struct text t) { return s && t.p && s->n == length(t) && !memcmp(s->bytes, t.p, s->n); }

bool str_equal(const struct str *one, const struct str *other)
{
	return one == other || (one && other && one->hash == other->hash && str_is(one, str_text(other)));
}

void queue_push(struct assembler *a, struct queue *queue, void *p)
{
	if (queue->n == queue->capacity) {
		size_t capacity = queue->capacity ? queue->capacity * 2 : 4; /* a power of two */
		void **at = take(a, capacity * sizeof *at);

		for (size_t i = 0; i < queue->n; i++)
			at[i] = queue_at(queue, i);
		give_back(a, queue->at);
		*queue = (struct queue){at, 0, queue->n, capacity};
	}
	queue->at[(queue->first + queue->n++) & (queue->capacity - 1)] = p;
}

void *queue_pop(struct queue *queue)
{
	void *p = queue->at[queue->first];

	queue->first = (queue->first + 1) & (queue->capacity - 1);
	queue->n--;
	return p;
}
