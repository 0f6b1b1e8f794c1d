/* What the parts of the compiled assembler share: assemble.py and what it uses, from records as MessagePack to columns of Arrow. The
 * reader in Python is the reference of each function here, which has its name. */
#ifndef OOMTRIAL_ASSEMBLER_H
#define OOMTRIAL_ASSEMBLER_H

#include "columns.h"
#include "memory.h"

#include <setjmp.h>

/* Records, as packing.py and the compiled reader pack them. */
enum kind { NIL, FLAG, INTEGER, REAL, TEXT, BINARY, ARRAY, MAP };
struct value {
	enum kind kind;
	int64_t number; /* of a flag too */
	double real;
	struct text text; /* of an array or a map: its elements */
	size_t n;	  /* elements; pairs of a map */
};

enum type { USAGE_OF, SUMMARY_OF, VICTIM_MEMCG_OF, LIMIT_REACHED, STATS_HEAD, PROTECTED, TASK_TABLE, CPU_LINE, CPUSET_OF, ZONE_OF, RESERVED,
	    FREE_BLOCKS_OF, PAGE_COUNTS_OF, SWAP_OF, RAM_PAGES_OF, LAST_PART = RAM_PAGES_OF, /* parts of a report, as FILL in parts.py */
	    PARTS, KILLED, HEADER_OF, CHOSEN, REAPED_OF, GROUP_KILL_OF, SKIPPED, SHARING, SUPPRESSED, EVENT_OF, USER_KILL, BOOT_OF, FORGED, DROPPED, UNREAD,
	    ORPHANS, ANY_OTHER };

enum { MOST_FIELDS = 12 };
struct record {
	enum type type;
	int n;
	struct value field[MOST_FIELDS]; /* those that are left out are NIL */
};

/* Where a record stands: a Location. */
struct where {
	int64_t line, offset;
	bool has_uptime, has_wall, is_yearless;
	double uptime_s, wall_s;
	struct text caller, host, boot_id;
	struct number sequence;
};

size_t enter_array(struct assembler *a, struct text *t);
void read_value(struct assembler *a, struct text *t, struct value *value);
void read_where(struct assembler *a, struct text *t, struct where *where);
void read_record(struct assembler *a, struct text *t, struct record *record);
static inline struct number as_number(const struct value *v) { return (struct number){v->kind == INTEGER, v->number}; }
static inline int64_t as_integer(const struct value *v) { return v->kind == INTEGER ? v->number : 0; }
static inline struct text as_text(const struct value *v) { return v->kind == TEXT || v->kind == BINARY ? v->text : (struct text){0}; }
static inline bool as_flag(const struct value *v) { return v->kind == FLAG && v->number; }
static inline bool is_text(struct text t, const char *word) { return length(t) == strlen(word) && begins(t, word); }

/* The same of a record that is kept. */
struct place {
	int64_t line, offset;
	bool has_uptime, has_wall, is_yearless;
	double uptime_s, wall_s;
	struct str *host;
};

enum clock { NO_CLOCK, UPTIME, YEARLESS, WALL };
static inline enum clock clock_of(const struct place *p)
{
	return p->has_uptime ? UPTIME : !p->has_wall ? NO_CLOCK : p->is_yearless ? YEARLESS : WALL;
}
static inline bool has_time(const struct place *p) { return p->has_uptime || p->has_wall; }
static inline double time_of(const struct place *p) { return p->has_uptime ? p->uptime_s : p->wall_s; }
static inline bool is_before(const struct place *one, const struct place *other)
{
	return one->line < other->line || (one->line == other->line && one->offset < other->offset);
}
struct place place_of(struct assembler *a, const struct where *where);

/* A task table. */
enum { TABLE_COLUMNS = 14 }; /* of tasks.COLUMNS, in its order */
struct table {
	int64_t rows, width, damaged;
	int position[TABLE_COLUMNS]; /* of a column in a row, -1 where the kernel has none */
	int64_t *cells, *lines;
	uint64_t *pids; /* a bit for each, as tables are searched for a pid that they do not have, again and again */
	size_t pid_bits; /* a power of two */
	size_t names_size;
	char *names; /* each ended by a newline */
};

enum { UID, TGID, TOTAL_VM, RSS, RSS_ANON };
int64_t find_row(const struct table *table, int64_t pid); /* the first, or -1 */
struct text name_of_row(const struct table *table, int64_t row);
bool has_name(const struct table *table, struct text comm);

struct zone {
	struct number node, highatomic_kb, cma_kb;
	struct str *name;
	int64_t free_kb, min_kb, low_kb, high_kb;
	int64_t *reserve;
	size_t n_reserve;
};

struct free_blocks {
	struct number node;
	struct str *zone, *blocks;
};

enum { MEMORY, MEMSW, KMEM, SWAP_USED, COUNTERS };
struct counter {
	bool is_there;
	int64_t usage_kb, limit_kb;
	struct number failcnt;
};

struct stat {
	struct str *name;
	int64_t value;
};

enum outcome { NO_OUTCOME, WAS_KILLED, WAS_SKIPPED, PANIC, NO_VICTIM };
enum { DEFAULT_PAGE_KB = 4, MISSING_BYTES = 80, LARGEST_ORDER = 40 };

struct report {
	int64_t refs, index, boot;
	struct place where;
	bool is_headless, is_complete_header;
	struct str *comm, *gfp_flags;
	struct number gfp_mask, order, adj;
	struct number pid, chosen_pid, page_kb, free_swap_kb, total_swap_kb;
	struct str *kernel, *constraint, *oom_memcg, *task_memcg, *cpuset, *mems_allowed, *chosen_comm, *nodemask;
	answer is_global;
	struct counter counters[COUNTERS];
	struct stat *stats;
	size_t n_stats, stats_capacity;
	struct zone *zones;
	size_t n_zones, zones_capacity;
	struct free_blocks *free_blocks;
	size_t n_free_blocks, free_blocks_capacity;
	struct queue lists; /* strings */
	struct table *table;
	bool has_summary, summary_is_cut, is_closed;
	enum outcome outcome;
	/* derived once, as the properties of Report */
	struct number margin_kb, zone_margin_kb, anon_kb, in_flight_kb;
	answer has_whole_table; /* UNKNOWN: not asked yet */
	bool has_pages;
	struct number active_anon, inactive_anon, isolated_anon, unevictable, shmem;
	char missing[MISSING_BYTES];
};

static inline int64_t page_kb_of(const struct report *r) { return r->page_kb.is_there && r->page_kb.value ? r->page_kb.value : DEFAULT_PAGE_KB; }
answer report_is_memcg(const struct report *r);
bool has_counters(const struct report *r);
void derive(struct assembler *a, struct report *r);
bool has_whole_table(struct report *r);
void read_pages(struct report *r);
struct number kmem_margin_kb(const struct report *r);
struct number request_room_kb(struct assembler *a, const struct report *r);
size_t counts_of(struct text blocks, int64_t *counts, uint32_t *kinds, size_t most);
void fill(struct assembler *a, struct report *r, const struct record *part, int64_t line_base);
bool opens(const struct record *part);
static inline struct report *report_keep(struct report *r)
{
	if (r)
		r->refs++;
	return r;
}
void report_drop(struct assembler *a, struct report *r);

/* Kills */
enum source { SOURCE_UNKNOWN, KNOWN, BY_TABLE, BY_GROUP, BY_NEIGHBOUR };
struct release {
	int64_t refs, index, boot;
	struct place where;
	struct str *kind, *comm;
	int64_t pid;
	struct number kill, anon_kb, file_kb, shmem_kb;
	bool is_complete;
};

struct kill {
	int64_t refs, index, boot, decision, pid, chosen_pid;
	struct place where;
	struct str *comm, *oom_memcg, *task_memcg, *group;
	struct number total_vm_kb, anon_kb, file_kb, shmem_kb, uid, pgtables_kb, adj;
	bool is_complete;
	answer message_is_memcg, is_global;
	enum source source;
	int64_t source_report; /* its index, of BY_TABLE */
	struct report *report;
	struct queue sharing, released;
	answer overlap;
	struct str *evidence;
	struct number flight_kb;
	int64_t *earlier;
	size_t n_earlier;
	struct boot *state;
};

struct event {
	int64_t boot;
	struct place where;
	struct str *kind, *text;
	struct number pid, report;
};

/* What waits for the kill or the report that it speaks of. */
struct waiting {
	struct release *release;
	struct event *event;
};

static inline struct kill *kill_keep(struct kill *k)
{
	if (k)
		k->refs++;
	return k;
}
void kill_drop(struct assembler *a, struct kill *k);
void release_drop(struct assembler *a, struct release *r);
/* Kill.domain: the memcg that ran out, "global", or nothing */
static inline struct text domain_of(const struct str *oom_memcg, answer is_global)
{
	return has_text(oom_memcg) ? str_text(oom_memcg) : is_global == YES ? text_of("global", 6) : (struct text){0};
}

struct group {
	struct str *memcg;
	struct number chosen_pid;
	int64_t decision;
	struct report *report;
	bool has_time;
	double last_time_s, gap_s;
	int64_t *pids;
	size_t n_pids, pids_capacity;
	struct queue kills;
};

struct chosen {
	int64_t pid;
	struct str *comm;
	answer is_memcg;
	bool has_where;
	struct place where;
};

struct print_context {
	struct str *name;
	struct report *report;
	int64_t last_line;
	struct chosen *chosen;
	bool is_copy;
	struct kill *last_kill;
	struct number skipped; /* its pid */
	struct group *group;
};

/* What makes a record the same as another, and the line where one stood last. */
struct key {
	uint64_t hash;
	int64_t line, refs;
	struct key *next;
	bool is_listed;
	size_t n;
	char bytes[];
};

struct recent_line {
	int64_t line;
	struct key *key;
};

struct boot {
	int64_t refs, number;
	struct str *boot_id, *kernel, *release; /* the last of its banner */
	struct place banner;
	bool has_banner, is_fresh, has_uptime, has_wall;
	double last_uptime_s, last_wall_s;
	struct queue contexts, recent_kills, recent_lines, reports; /* the last of DomainInference */
	struct key **keys;
	size_t n_keys, n_slots;
	struct kill *last_estimated;
};

struct host {
	struct str *name;
	struct boot *boot;
};

/* As KnownLosses in records.py; columns.py has the same fields. */
struct losses {
	int64_t suppressed_reports, dropped_records, dropped_by_syslog, sequence_gaps, kills_without_report, partial_kills, partial_reports, unended_reports,
		damaged_rows, duplicate_lines, forged_kills, unread_kills, unread_heads, forged_heads, releases_without_kill;
	int64_t n_unread_lines, unread_lines[100];
};

struct block;
enum { STRINGS = 1024, CLASSES = 17 };
struct assembler {
	/* what Python reads; columns.py has the same fields */
	int64_t rows, task_rows; /* that wait in the columns */
	int64_t outputs, kills_given, reports_given, highest_decision, boots;
	struct losses missing;
	/* its own */
	jmp_buf failed;
	bool is_lost; /* a call failed: nothing is left */
	struct block *blocks, *kept[CLASSES]; /* in use; given back, by their sizes */
	struct str *strings[STRINGS]; /* that were made last, by their hashes */
	struct host *hosts;
	size_t n_hosts, hosts_capacity, last_host;
	struct str *host; /* the last that a line named */
	struct queue reports, kills, out;
	int64_t releases, decisions, report_count, kill_count;
	struct columns columns[TABLES];
};

/* boots.py */
struct boot *find_boot(struct assembler *a, struct text host);
struct boot *boot_of(struct assembler *a, const struct where *where, const struct record *record);
void forget_boots(struct assembler *a);
void boot_drop(struct assembler *a, struct boot *boot);
struct print_context *find_context(const struct boot *boot, struct text name);
void empty_context(struct assembler *a, struct print_context *context);
void drop_group(struct assembler *a, struct print_context *context);
void drop_chosen(struct assembler *a, struct print_context *context);

/* keys.c */
enum { DUPLICATE_LINES = 1000 }; /* how far apart a paste and its copy may stand */
bool key_of(struct assembler *a, const struct where *where, const struct record *record, struct bytes *bytes);
struct key *find_key(struct boot *boot, struct text bytes, uint64_t hash);
void note_key(struct assembler *a, struct boot *boot, struct text bytes, uint64_t hash, int64_t line);
void unlist_key(struct assembler *a, struct boot *boot, struct key *key);
void drop_key(struct assembler *a, struct key *key);

/* rows.c */
void put_report(struct assembler *a, struct report *r);
void put_kill(struct assembler *a, const struct kill *k);
void put_release(struct assembler *a, const struct release *r);
void put_event(struct assembler *a, const struct event *e);

/* infer.py and overlap.py */
bool in_subtree(const struct str *memcg, const struct str *root);
void settle_domain(struct assembler *a, struct boot *boot, struct kill *k);
void estimate(struct assembler *a, struct kill *k, const struct queue *recent, bool has_losses);
struct number machine_flight_kb(struct assembler *a, struct report *r, struct kill *const *certain, size_t n);

/* assemble.py */
void end_boot(struct assembler *a, struct boot *boot);
void end_choice(struct assembler *a, struct boot *boot, struct print_context *context);
void close_report(struct assembler *a, struct print_context *context, enum outcome outcome);
struct print_context *context_of(struct assembler *a, struct boot *boot, struct text name);
struct report *new_report(struct assembler *a, const struct boot *boot, struct place where);
void killed(struct assembler *a, struct boot *boot, struct print_context *context, struct place where, const struct record *record);
void group_kill(struct assembler *a, struct boot *boot, struct print_context *context, const struct place *where, const struct record *record);
void settle(struct assembler *a, const struct place *now);
void feed_records(struct assembler *a, struct text t, int64_t n, int64_t line_base);

static inline answer message_is_memcg(struct text message)
{
	return !length(message) ? UNKNOWN : begins(message, "Memory cgroup") ? YES : NO;
}

#endif
