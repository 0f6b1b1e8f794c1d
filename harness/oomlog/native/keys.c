/* What makes a record the same as another, and where one stood last: _duplicate_key() and the copies of boots.py. */
#include "assembler.h"

enum { FEW_KEYS = 64 };

void drop_key(struct assembler *a, struct key *key)
{
	if (!--key->refs)
		give_back(a, key);
}

static struct key **slot_of(struct boot *boot, uint64_t hash) { return &boot->keys[hash & (boot->n_slots - 1)]; }

struct key *find_key(struct boot *boot, struct text bytes, uint64_t hash)
{
	for (struct key *key = boot->n_slots ? *slot_of(boot, hash) : NULL; key; key = key->next)
		if (key->hash == hash && key->n == length(bytes) && !memcmp(key->bytes, bytes.p, key->n))
			return key;
	return NULL;
}

void unlist_key(struct assembler *a, struct boot *boot, struct key *key)
{
	struct key **slot = slot_of(boot, key->hash);

	while (*slot != key)
		slot = &(*slot)->next;
	*slot = key->next;
	key->is_listed = false;
	boot->n_keys--;
	drop_key(a, key);
}

static void make_slots(struct assembler *a, struct boot *boot)
{
	size_t before = boot->n_slots;
	struct key **keys = boot->keys;

	boot->keys = take(a, (before ? before * 2 : FEW_KEYS) * sizeof(struct key *));
	boot->n_slots = before ? before * 2 : FEW_KEYS;
	for (size_t i = 0; i < before; i++)
		for (struct key *key = keys[i], *next; key; key = next) {
			struct key **slot = slot_of(boot, key->hash);

			next = key->next;
			key->next = *slot;
			*slot = key;
		}
	give_back(a, keys);
}

/* Notes that a key stands on a line, and forgets those that stand far above. */
void note_key(struct assembler *a, struct boot *boot, struct text bytes, uint64_t hash, int64_t line)
{
	struct key *key = find_key(boot, bytes, hash);
	struct recent_line *recent;

	if (!key) {
		if (boot->n_keys == boot->n_slots)
			make_slots(a, boot);
		key = take(a, sizeof *key + length(bytes));
		key->hash = hash;
		key->n = length(bytes);
		memcpy(key->bytes, bytes.p, key->n);
		key->refs = 1;
		key->is_listed = true;
		key->next = *slot_of(boot, hash);
		*slot_of(boot, hash) = key;
		boot->n_keys++;
	}
	key->line = line;
	recent = take(a, sizeof *recent);
	*recent = (struct recent_line){line, key};
	key->refs++;
	queue_push(a, &boot->recent_lines, recent);
	while (boot->recent_lines.n && ((struct recent_line *)queue_at(&boot->recent_lines, 0))->line < line - DUPLICATE_LINES) {
		recent = queue_pop(&boot->recent_lines);
		if (recent->key->is_listed && recent->key->line == recent->line)
			unlist_key(a, boot, recent->key);
		drop_key(a, recent->key);
		give_back(a, recent);
	}
}

static void key_value(struct assembler *a, struct bytes *bytes, const struct value *value)
{
	int64_t head[2] = {value->kind == TEXT ? (int64_t)length(value->text) : value->number, value->kind};

	add_bytes(a, bytes, head, sizeof head);
	if (value->kind == TEXT)
		add_bytes(a, bytes, value->text.p, length(value->text));
}

/* getattr(record, "pid", None) and "comm", as their places in the record; -1 where it has none */
static void pid_and_comm(enum type type, int *pid, int *comm)
{
	*pid = *comm = -1;
	switch (type) {
	case HEADER_OF: *comm = 0; break;
	case SUMMARY_OF: *pid = 8; *comm = 7; break;
	case CHOSEN: case SKIPPED: *pid = 1; *comm = 2; break;
	case SHARING: *pid = 0; *comm = 1; break;
	case REAPED_OF: *pid = 1; *comm = 2; break;
	case EVENT_OF: case USER_KILL: *pid = 1; break;
	default: break;
	}
}

/* False where there is none: a record without a stamp, or with one that is no number, which equals nothing. */
bool key_of(struct assembler *a, const struct where *where, const struct record *record, struct bytes *bytes)
{
	double time_s = where->has_uptime ? where->uptime_s : where->wall_s;
	struct value sequence = {.kind = where->sequence.is_there ? INTEGER : NIL, .number = where->sequence.value};
	int64_t type = record->type;

	if ((!where->has_uptime && !where->has_wall) || time_s != time_s)
		return false;
	time_s = time_s == 0 ? 0 : time_s; /* there are two zeros */
	add_bytes(a, bytes, &time_s, sizeof time_s);
	add_bytes(a, bytes, &type, sizeof type);
	key_value(a, bytes, &sequence);
	if (record->type == KILLED) {
		for (int i = 0; i < 11; i++)
			key_value(a, bytes, &record->field[i]);
	} else {
		int pid, comm;
		struct value caller = {.kind = TEXT, .text = where->caller}, none = {.kind = NIL};

		pid_and_comm(record->type, &pid, &comm);
		key_value(a, bytes, &caller);
		key_value(a, bytes, pid < 0 ? &none : &record->field[pid]);
		key_value(a, bytes, comm < 0 ? &none : &record->field[comm]);
	}
	return true;
}
