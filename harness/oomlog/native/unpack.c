/* Records as MessagePack: https://github.com/msgpack/msgpack/blob/master/spec.md. They are our own; what is damaged ends the call. */
#include "assembler.h"

enum { DEEPEST = 8 };

static uint8_t next_byte(struct assembler *a, struct text *t)
{
	if (t->p == t->end)
		fail(a, DAMAGED);
	return (uint8_t)*t->p++;
}

static uint64_t big_endian(struct assembler *a, struct text *t, int bytes)
{
	uint64_t value = 0;

	if (length(*t) < (size_t)bytes)
		fail(a, DAMAGED);
	for (int i = 0; i < bytes; i++)
		value = value << 8 | (uint8_t)t->p[i];
	t->p += bytes;
	return value;
}

static void take_text(struct assembler *a, struct text *t, struct value *value, enum kind kind, uint64_t n)
{
	if (n > length(*t))
		fail(a, DAMAGED);
	value->kind = kind;
	value->text = text_of(t->p, n);
	t->p += n;
}

static void skip_elements(struct assembler *a, struct text *t, uint64_t n, int depth);

static void take_elements(struct assembler *a, struct text *t, struct value *value, enum kind kind, uint64_t n, int depth)
{
	const char *begin = t->p;

	if (n > length(*t))
		fail(a, DAMAGED);
	value->kind = kind;
	value->n = n;
	skip_elements(a, t, kind == MAP ? 2 * n : n, depth + 1);
	value->text = (struct text){begin, t->p};
}

static void take_integer(struct value *value, int64_t number)
{
	value->kind = INTEGER;
	value->number = number;
}

static void take_value(struct assembler *a, struct text *t, struct value *value, int depth)
{
	uint8_t type = next_byte(a, t);

	*value = (struct value){.kind = NIL};
	if (depth > DEEPEST)
		fail(a, DAMAGED);
	if (type < 0x80) {
		take_integer(value, type);
	} else if (type < 0x90) {
		take_elements(a, t, value, MAP, type & 15, depth);
	} else if (type < 0xa0) {
		take_elements(a, t, value, ARRAY, type & 15, depth);
	} else if (type < 0xc0) {
		take_text(a, t, value, TEXT, type & 31);
	} else if (type >= 0xe0) {
		take_integer(value, (int8_t)type);
	} else if (type == 0xc2 || type == 0xc3) {
		value->kind = FLAG;
		value->number = type & 1;
	} else if (type >= 0xc4 && type <= 0xc6) {
		take_text(a, t, value, BINARY, big_endian(a, t, 1 << (type - 0xc4)));
	} else if (type >= 0xcc && type <= 0xcf) {
		uint64_t number = big_endian(a, t, 1 << (type - 0xcc));

		take_integer(value, number > INT64_MAX ? INT64_MAX : (int64_t)number);
	} else if (type >= 0xd0 && type <= 0xd3) {
		int bytes = 1 << (type - 0xd0);
		uint64_t number = big_endian(a, t, bytes);

		/* the sign is that of the highest byte */
		if (bytes < 8 && number >> (8 * bytes - 1))
			number |= ~(uint64_t)0 << (8 * bytes);
		take_integer(value, (int64_t)number);
	} else if (type >= 0xd9 && type <= 0xdb) {
		take_text(a, t, value, TEXT, big_endian(a, t, 1 << (type - 0xd9)));
	} else if (type == 0xdc || type == 0xdd) {
		take_elements(a, t, value, ARRAY, big_endian(a, t, type == 0xdc ? 2 : 4), depth);
	} else if (type == 0xde || type == 0xdf) {
		take_elements(a, t, value, MAP, big_endian(a, t, type == 0xde ? 2 : 4), depth);
	} else if (type == 0xcb) {
		uint64_t bits = big_endian(a, t, 8);

		value->kind = REAL;
		memcpy(&value->real, &bits, sizeof bits);
	} else if (type != 0xc0) {
		fail(a, DAMAGED);
	}
}

static void skip_elements(struct assembler *a, struct text *t, uint64_t n, int depth)
{
	struct value skipped;

	while (n--)
		take_value(a, t, &skipped, depth);
}

void read_value(struct assembler *a, struct text *t, struct value *value) { take_value(a, t, value, 0); }

size_t enter_array(struct assembler *a, struct text *t)
{
	uint8_t type = next_byte(a, t);

	if (type >= 0x90 && type < 0xa0)
		return type & 15;
	if (type != 0xdc && type != 0xdd)
		fail(a, DAMAGED);
	return (size_t)big_endian(a, t, type == 0xdc ? 2 : 4);
}

static bool read_real(struct assembler *a, struct text *t, double *real)
{
	struct value value;

	read_value(a, t, &value);
	*real = value.kind == INTEGER ? (double)value.number : value.real;
	return value.kind == REAL || value.kind == INTEGER;
}

void read_where(struct assembler *a, struct text *t, struct where *where)
{
	struct value value;

	if (enter_array(a, t) != 9)
		fail(a, DAMAGED);
	read_value(a, t, &value);
	where->line = as_integer(&value);
	read_value(a, t, &value);
	where->offset = as_integer(&value);
	where->has_uptime = read_real(a, t, &where->uptime_s);
	where->has_wall = read_real(a, t, &where->wall_s);
	read_value(a, t, &value);
	where->is_yearless = as_flag(&value);
	read_value(a, t, &value);
	where->caller = as_text(&value);
	read_value(a, t, &value);
	where->host = as_text(&value);
	read_value(a, t, &value);
	where->boot_id = as_text(&value);
	read_value(a, t, &value);
	where->sequence = as_number(&value);
	if (!where->caller.p || !where->host.p || !where->boot_id.p)
		fail(a, DAMAGED);
}

static const struct {
	const char *tag;
	enum type type;
} TYPES[] = {
	{"ReportParts", PARTS}, {"Usage", USAGE_OF}, {"KilledLine", KILLED}, {"TaskTable", TASK_TABLE}, {"StatsHead", STATS_HEAD},
	{"CpuLine", CPU_LINE}, {"Header", HEADER_OF}, {"OomKillSummary", SUMMARY_OF}, {"Reaped", REAPED_OF}, {"Zone", ZONE_OF},
	{"LowmemReserve", RESERVED}, {"FreeBlocks", FREE_BLOCKS_OF}, {"PageCounts", PAGE_COUNTS_OF}, {"Swap", SWAP_OF},
	{"RamPages", RAM_PAGES_OF}, {"VictimMemcg", VICTIM_MEMCG_OF}, {"Cpuset", CPUSET_OF}, {"ChosenVictim", CHOSEN},
	{"LimitReached", LIMIT_REACHED}, {"Protection", PROTECTED}, {"GroupKill", GROUP_KILL_OF}, {"AlreadyExitingVictim", SKIPPED},
	{"SharedMmKill", SHARING}, {"RateLimitedReports", SUPPRESSED}, {"Event", EVENT_OF}, {"UserSpaceKill", USER_KILL}, {"Boot", BOOT_OF},
	{"ForgedLine", FORGED}, {"DroppedRecords", DROPPED}, {"UnreadableLine", UNREAD}, {"OrphanRows", ORPHANS},
};

void read_record(struct assembler *a, struct text *t, struct record *record)
{
	size_t n = enter_array(a, t);
	struct value tag;

	if (!n || n - 1 > MOST_FIELDS)
		fail(a, DAMAGED);
	read_value(a, t, &tag);
	record->type = ANY_OTHER;
	for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES && length(as_text(&tag)); i++)
		if (*tag.text.p == *TYPES[i].tag && is_text(tag.text, TYPES[i].tag)) {
			record->type = TYPES[i].type;
			break;
		}
	record->n = record->type == PARTS ? 0 : (int)n - 1; /* the parts are read one by one */
	if (record->type == PARTS)
		return;
	for (int i = 0; i < record->n; i++)
		read_value(a, t, &record->field[i]);
	for (int i = record->n; i < MOST_FIELDS; i++)
		record->field[i] = (struct value){.kind = NIL};
}
