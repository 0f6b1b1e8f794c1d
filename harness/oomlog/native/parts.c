/* How a part is put into its report: parts.py. The first of its kind counts, as a second is another's. */
#include "assembler.h"

static void *grown(struct assembler *a, void *p, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return p;
	*capacity = *capacity * 2 + 4;
	return resize(a, p, *capacity * size);
}

static void take_usage(struct report *r, const struct record *part)
{
	static const char *const NAMES[COUNTERS] = {[MEMORY] = "memory", [MEMSW] = "memory+swap", [KMEM] = "kmem", [SWAP_USED] = "swap"};

	for (int i = 0; i < COUNTERS; i++)
		if (is_text(as_text(&part->field[0]), NAMES[i]) && !r->counters[i].is_there)
			r->counters[i] = (struct counter){true, as_integer(&part->field[1]), as_integer(&part->field[2]), as_number(&part->field[3])};
}

/* Puts a text in the place of an empty one. */
static void set_first(struct assembler *a, struct str **place, struct text t)
{
	if (!has_text(*place))
		str_set(a, place, str_of(a, t));
}

static bool is_whitespace(struct text t, size_t *n)
{
	/* what str.strip() takes off, as UTF-8 */
	static const char *const WIDE[] = {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
	uint8_t c = (uint8_t)*t.p;

	*n = 1;
	if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f))
		return true;
	for (size_t i = 0; i < sizeof WIDE / sizeof *WIDE; i++)
		if (begins(t, WIDE[i])) {
			*n = strlen(WIDE[i]);
			return true;
		}
	*n = 3;
	return length(t) >= 3 && !memcmp(t.p, "\xe2\x80", 2) && (uint8_t)t.p[2] >= 0x80 && (uint8_t)t.p[2] <= 0x8a; /* U+2000 to U+200A */
}

static struct text stripped(struct text t)
{
	size_t n;
	bool is_more = true;

	while (length(t) && is_whitespace(t, &n))
		t.p += n;
	while (length(t) && is_more) {
		is_more = false;
		for (size_t bytes = 1; bytes <= 3 && bytes <= length(t); bytes++)
			if (is_whitespace((struct text){t.end - bytes, t.end}, &n) && n == bytes) {
				t.end -= bytes;
				is_more = true;
				break;
			}
	}
	return t;
}

static void take_cpu_line(struct assembler *a, struct report *r, const struct record *part)
{
	struct text comm = stripped(as_text(&part->field[1])), own = stripped(str_text(r->comm));

	if (r->pid.is_there || (r->comm && (length(comm) != length(own) || (length(own) && memcmp(comm.p, own.p, length(own))))))
		return;
	r->pid = as_number(&part->field[0]);
	if (length(as_text(&part->field[2])))
		str_set(a, &r->kernel, str_of(a, as_text(&part->field[2])));
}

static void take_zone(struct assembler *a, struct report *r, const struct record *part)
{
	const struct value *field = part->field;

	r->zones = grown(a, r->zones, r->n_zones, &r->zones_capacity, sizeof *r->zones);
	r->zones[r->n_zones++] = (struct zone){
		.node = as_number(&field[0]), .name = str_of(a, as_text(&field[1])), .free_kb = as_integer(&field[2]), .min_kb = as_integer(&field[3]),
		.low_kb = as_integer(&field[4]), .high_kb = as_integer(&field[5]), .highatomic_kb = as_number(&field[6]), .cma_kb = as_number(&field[7]),
	};
	if (r->is_global == UNKNOWN && !has_counters(r))
		r->is_global = YES;
}

static void take_reserve(struct assembler *a, struct report *r, const struct record *part)
{
	struct zone *zone = r->n_zones ? &r->zones[r->n_zones - 1] : NULL;
	const struct value *pages = &part->field[0];
	struct text t = pages->text;

	if (!zone || zone->n_reserve || pages->kind != ARRAY || !pages->n)
		return;
	zone->reserve = take(a, pages->n * sizeof *zone->reserve);
	while (zone->n_reserve < pages->n) {
		struct value value;

		read_value(a, &t, &value);
		zone->reserve[zone->n_reserve++] = as_integer(&value);
	}
}

static void take_free_blocks(struct assembler *a, struct report *r, const struct record *part)
{
	struct number node = as_number(&part->field[0]);
	struct text zone = as_text(&part->field[1]);

	for (size_t i = 0; i < r->n_free_blocks; i++)
		if (same_number(r->free_blocks[i].node, node) && str_is(r->free_blocks[i].zone, zone))
			return;
	r->free_blocks = grown(a, r->free_blocks, r->n_free_blocks, &r->free_blocks_capacity, sizeof *r->free_blocks);
	r->free_blocks[r->n_free_blocks++] = (struct free_blocks){node, str_of(a, zone), str_of(a, as_text(&part->field[2]))};
}

static void take_summary(struct assembler *a, struct report *r, const struct record *part)
{
	const struct value *field = part->field;
	bool is_complete = as_flag(&field[10]), is_global = as_flag(&field[5]);

	if (r->has_summary)
		return;
	r->has_summary = true;
	r->summary_is_cut = !is_complete;
	str_set(a, &r->constraint, str_of(a, as_text(&field[0])));
	str_set(a, &r->nodemask, str_of(a, as_text(&field[1])));
	str_set(a, &r->cpuset, str_of(a, as_text(&field[2])));
	str_set(a, &r->mems_allowed, str_of(a, as_text(&field[3])));
	str_set(a, &r->oom_memcg, str_of(a, as_text(&field[4])));
	str_set(a, &r->task_memcg, str_of(a, as_text(&field[6])));
	str_set(a, &r->chosen_comm, str_of(a, as_text(&field[7])));
	r->chosen_pid = as_number(&field[8]);
	if (r->oom_memcg)
		r->is_global = NO;
	else if (is_global || is_complete)
		/* without CONFIG_MEMCG nothing says global_oom; of a memcg's limit the path may be left out by whoever retyped it */
		r->is_global = is_global || !(has_counters(r) || str_is(r->constraint, text_of("CONSTRAINT_MEMCG", 16))) ? YES : NO;
}

static struct stat *find_stat(struct stat *stats, size_t n, struct text name)
{
	uint64_t hash = hash_of(name.p, length(name));

	for (size_t i = 0; i < n; i++)
		if (stats[i].name->hash == hash && str_is(stats[i].name, name))
			return &stats[i];
	return NULL;
}

/* Where the value of a name stands, which is new where none was. */
static int64_t *stat_of(struct assembler *a, struct stat **stats, size_t *n, size_t *capacity, struct text name)
{
	struct stat *stat = find_stat(*stats, *n, name);

	if (stat)
		return &stat->value;
	*stats = grown(a, *stats, *n, capacity, sizeof **stats);
	stat = &(*stats)[*n];
	*stat = (struct stat){.name = str_of(a, name)};
	++*n;
	return &stat->value;
}

static void take_stats(struct assembler *a, struct report *r, const struct record *part)
{
	const struct value *map = &part->field[1];
	struct text memcg = as_text(&part->field[0]), t = map->text;
	struct stat *stats = NULL;
	size_t n = 0, capacity = 0;

	for (size_t i = 0; map->kind == MAP && i < map->n; i++) {
		struct value name, value;

		read_value(a, &t, &name);
		read_value(a, &t, &value);
		if (name.kind != TEXT)
			fail(a, DAMAGED);
		*stat_of(a, &stats, &n, &capacity, name.text) = as_integer(&value);
	}
	/* from 3.9 to 5.2 there is a line for every descendant: sizes add up to the domain's */
	if (find_stat(stats, n, text_of("cache", 5)) && find_stat(stats, n, text_of("rss", 3)) && !find_stat(stats, n, text_of("anon", 4))) {
		for (size_t i = 0; i < n; i++) {
			int64_t *sum = stat_of(a, &r->stats, &r->n_stats, &r->stats_capacity, str_text(stats[i].name));

			*sum = clamped((__int128)*sum + stats[i].value);
		}
	} else if (!r->n_stats) {
		give_back(a, r->stats);
		r->stats = stats;
		r->n_stats = n;
		r->stats_capacity = capacity;
		stats = NULL;
		n = 0;
	}
	for (size_t i = 0; i < n; i++)
		str_drop(a, stats[i].name);
	give_back(a, stats);
	if (!r->oom_memcg && length(memcg) && !r->has_summary)
		str_set(a, &r->oom_memcg, str_of(a, memcg));
}

/* Tables */

static const char *const COLUMNS[TABLE_COLUMNS] = {
	"uid", "tgid", "total_vm", "rss", "rss_anon", "rss_file", "rss_shmem", "nr_ptes", "nr_pmds", "pgtables_bytes", "swapents", "cpu", "oom_adj",
	"oom_score_adj",
};

static void *copied(struct assembler *a, struct text t)
{
	void *copy = take(a, length(t) ? length(t) : 1);

	if (length(t))
		memcpy(copy, t.p, length(t));
	return copy;
}

static int64_t rows_of(const struct record *part) { return (int64_t)(length(as_text(&part->field[3])) / sizeof(int64_t)); }

static void note_pids(struct assembler *a, struct table *table)
{
	for (table->pid_bits = 64; table->pid_bits < 8 * (size_t)table->rows;)
		table->pid_bits *= 2;
	table->pids = take(a, table->pid_bits / 8);
	for (int64_t row = 0; row < table->rows; row++) {
		size_t bit = (size_t)table->cells[row * table->width] & (table->pid_bits - 1);

		table->pids[bit / 64] |= (uint64_t)1 << bit % 64;
	}
}

static struct table *read_table_record(struct assembler *a, const struct record *part, int64_t line_base)
{
	const struct value *columns = &part->field[0];
	struct text t = columns->text, cells = as_text(&part->field[1]), names = as_text(&part->field[2]), lines = as_text(&part->field[3]);
	struct table *table = take(a, sizeof *table);
	int64_t ended = 0;

	table->rows = rows_of(part);
	table->width = (int64_t)columns->n;
	table->damaged = as_integer(&part->field[4]);
	for (const char *p = names.p; p < names.end; p++)
		ended += *p == '\n';
	if (columns->kind != ARRAY || !table->width || length(cells) / sizeof(int64_t) / (size_t)table->width != (size_t)table->rows ||
	    length(cells) % (sizeof(int64_t) * (size_t)table->width) || ended != table->rows)
		fail(a, DAMAGED);
	for (int i = 0; i < TABLE_COLUMNS; i++)
		table->position[i] = -1;
	for (int position = 0; position < table->width; position++) {
		struct value name;

		read_value(a, &t, &name);
		for (int i = 0; position && i < TABLE_COLUMNS; i++)
			if (is_text(as_text(&name), COLUMNS[i]))
				table->position[i] = position;
	}
	table->cells = copied(a, cells);
	table->names = copied(a, names);
	table->names_size = length(names);
	table->lines = copied(a, lines);
	for (int64_t i = 0; i < table->rows; i++)
		table->lines[i] += line_base;
	note_pids(a, table);
	return table;
}

static void drop_table(struct assembler *a, struct table *table)
{
	if (!table)
		return;
	give_back(a, table->cells);
	give_back(a, table->names);
	give_back(a, table->lines);
	give_back(a, table->pids);
	give_back(a, table);
}

int64_t find_row(const struct table *table, int64_t pid)
{
	size_t bit = (size_t)pid & (table->pid_bits - 1);

	if (!(table->pids[bit / 64] >> bit % 64 & 1))
		return -1;
	for (int64_t row = 0; row < table->rows; row++)
		if (table->cells[row * table->width] == pid)
			return row;
	return -1;
}

struct text name_of_row(const struct table *table, int64_t row)
{
	struct text t = text_of(table->names, table->names_size);
	const char *end;

	while ((end = memchr(t.p, '\n', length(t))) && row--)
		t.p = end + 1;
	return (struct text){t.p, end ? end : t.end};
}

bool has_name(const struct table *table, struct text comm)
{
	struct text t = text_of(table->names, table->names_size);

	for (const char *end; (end = memchr(t.p, '\n', length(t))); t.p = end + 1)
		if ((size_t)(end - t.p) == length(comm) && !memcmp(t.p, comm.p, length(comm)))
			return true;
	return false;
}

/* The part of a report. */
void fill(struct assembler *a, struct report *r, const struct record *part, int64_t line_base)
{
	const struct value *field = part->field;

	switch (part->type) {
	case USAGE_OF: take_usage(r, part); break;
	case SUMMARY_OF: take_summary(a, r, part); break;
	case VICTIM_MEMCG_OF:
		set_first(a, &r->oom_memcg, as_text(&field[1]));
		set_first(a, &r->task_memcg, as_text(&field[0]));
		break;
	case LIMIT_REACHED: set_first(a, &r->oom_memcg, as_text(&field[0])); break;
	case STATS_HEAD: take_stats(a, r, part); break;
	case TASK_TABLE:
		a->missing.damaged_rows += as_integer(&field[4]);
		if (!r->table)
			r->table = read_table_record(a, part, line_base);
		break;
	case CPU_LINE: take_cpu_line(a, r, part); break;
	case CPUSET_OF:
		str_set(a, &r->cpuset, str_of(a, as_text(&field[1])));
		str_set(a, &r->mems_allowed, str_of(a, as_text(&field[2])));
		break;
	case ZONE_OF: take_zone(a, r, part); break;
	case RESERVED: take_reserve(a, r, part); break;
	case FREE_BLOCKS_OF: take_free_blocks(a, r, part); break;
	case PAGE_COUNTS_OF: queue_push(a, &r->lists, str_of(a, as_text(&field[0]))); break;
	case SWAP_OF:
		*(is_text(as_text(&field[0]), "Free") ? &r->free_swap_kb : &r->total_swap_kb) = as_number(&field[1]);
		break;
	default: break;
	}
}

/* Whether a part is of an OOM report and nothing else, so that there is one though its header is not in the log. */
bool opens(const struct record *part)
{
	switch (part->type) {
	case TASK_TABLE: return rows_of(part);
	case VICTIM_MEMCG_OF: case LIMIT_REACHED: case USAGE_OF: case STATS_HEAD: case SUMMARY_OF: return true;
	default: return false;
	}
}

void report_drop(struct assembler *a, struct report *r)
{
	if (!r || --r->refs)
		return;
	struct str *const strings[] = {
		r->where.host, r->comm, r->gfp_flags, r->kernel, r->constraint, r->oom_memcg, r->task_memcg, r->cpuset, r->mems_allowed, r->chosen_comm, r->nodemask,
	};

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		str_drop(a, strings[i]);
	for (size_t i = 0; i < r->n_stats; i++)
		str_drop(a, r->stats[i].name);
	for (size_t i = 0; i < r->n_zones; i++) {
		str_drop(a, r->zones[i].name);
		give_back(a, r->zones[i].reserve);
	}
	for (size_t i = 0; i < r->n_free_blocks; i++) {
		str_drop(a, r->free_blocks[i].zone);
		str_drop(a, r->free_blocks[i].blocks);
	}
	while (r->lists.n)
		str_drop(a, queue_pop(&r->lists));
	drop_table(a, r->table);
	give_back(a, r->stats);
	give_back(a, r->zones);
	give_back(a, r->free_blocks);
	give_back(a, r->lists.at);
	give_back(a, r);
}
