/* How much room a global report leaves for the request behind it: watermark.py. */
#include "assembler.h"

enum { DMA_BIT = 1, HIGHMEM_BIT = 2, DMA32_BIT = 4, MOVABLE_BIT = 8 };
enum { Z_DMA, Z_DMA32, Z_NORMAL, Z_HIGHMEM, Z_MOVABLE, Z_DEVICE, Z_KINDS };
static const char *const ORDER[Z_KINDS] = {"DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"};
enum { MOST_ORDERS = 1024 };

static int kind_of(struct text name)
{
	for (int i = 0; i < Z_KINDS; i++)
		if (is_text(name, ORDER[i]))
			return i;
	return -1;
}

/* gfp_zone() */
static int highest_zone(int64_t gfp_mask, unsigned named)
{
	if (gfp_mask & DMA_BIT)
		return named >> Z_DMA & 1 ? Z_DMA : -1;
	if (gfp_mask & DMA32_BIT)
		return named >> Z_DMA32 & 1 || !(named >> Z_HIGHMEM & 1) ? Z_DMA32 : Z_NORMAL;
	if (gfp_mask & HIGHMEM_BIT)
		return gfp_mask & MOVABLE_BIT ? Z_MOVABLE : Z_HIGHMEM;
	return Z_NORMAL;
}

static bool eat_digits(struct text *t, struct text *digits)
{
	digits->p = t->p;
	while (t->p < t->end && is_digit(*t->p))
		t->p++;
	digits->end = t->p;
	return length(*digits);
}

/* Whether a node is in a list such as "0-2,5". A list that is none, or not there, names every node. */
static bool names_node(const struct str *list, struct number node)
{
	struct text t = str_text(list), part;
	bool is_named = false;

	if (!length(t) || *t.p == '(' || !node.is_there)
		return true;
	for (;;) {
		const char *comma = memchr(t.p, ',', length(t));
		struct text first, last;
		int64_t begin = 0, end = 0;

		part = (struct text){t.p, comma ? comma : t.end};
		if (!eat_digits(&part, &first))
			return true;
		last = first;
		if (eat_char(&part, '-') && length(part) && !eat_digits(&part, &last))
			return true;
		if (length(part) || length(first) + (last.p == first.p ? 0 : length(last)) > 8)
			return true;
		eat_number(&first, &begin);
		if (last.p != first.p)
			eat_number(&last, &end);
		else
			end = begin;
		if (end > begin + 4096)
			end = begin + 4096;
		is_named = is_named || (node.value >= begin && node.value <= end);
		if (!comma)
			return is_named;
		t.p = comma + 1;
	}
}

/* Pages of a zone that are kept from requests for `highest`: of all sets of zones that the array may be of, the largest reserve. */
static int64_t reserve_pages(int kind, const struct zone *zone, int highest, unsigned named)
{
	int64_t most = 0, largest = 0;
	bool is_found = false;

	if (!zone->n_reserve || kind == highest)
		return 0;
	for (size_t i = 0; i < zone->n_reserve; i++)
		if (!i || zone->reserve[i] > largest)
			largest = zone->reserve[i];
	for (unsigned set = 0; set < 1u << Z_KINDS; set++) {
		size_t index = 0, below = 0;
		bool is_own = true, is_kept = false;

		if ((size_t)__builtin_popcount(set) != zone->n_reserve || (named & ~set) || !(set >> Z_NORMAL & 1) ||
		    (set >> Z_HIGHMEM & 1) > (named >> Z_HIGHMEM & 1))
			continue;
		for (int i = 0; i < Z_KINDS; i++) {
			if (!(set >> i & 1))
				continue;
			if (is_own && zone->reserve[index])
				is_kept = true; /* a zone has no reserve against requests for itself */
			if (i == kind)
				is_own = false;
			if (i <= highest)
				below = index;
			index++;
		}
		if (is_kept)
			continue;
		if (!is_found || zone->reserve[below] > most)
			most = zone->reserve[below];
		is_found = true;
	}
	return is_found ? most : largest;
}

/* FreeBlocks.counts and FreeBlocks.kinds: free blocks by order, and the letters of their lists as bits, 0 where none are printed. How many there are;
 * `most` are put. */
size_t counts_of(struct text t, int64_t *counts, uint32_t *kinds, size_t most)
{
	enum { LONGEST_NUMBER = 18 };
	const char *from = t.p;
	size_t n = 0;

	for (const char *star; length(t) && (star = memchr(t.p, '*', length(t))); t.p = star + 1) {
		struct text count = {star, star}, rest = {star + 1, t.end}, size;
		uint32_t letters = 0;

		while (count.p > from && length(count) < LONGEST_NUMBER && is_digit(count.p[-1]))
			count.p--;
		if (!length(count) || !eat_digits(&rest, &size) || length(size) > LONGEST_NUMBER || !eat(&rest, "kB"))
			continue;
		from = rest.p;
		if (eat(&rest, " (")) {
			while (length(rest) && is_upper(*rest.p))
				letters |= 1u << (*rest.p++ - 'A');
			if (!eat_char(&rest, ')'))
				letters = 0;
		}
		if (n < most) {
			eat_number(&count, &counts[n]);
			if (kinds)
				kinds[n] = letters;
		}
		n++;
	}
	return n;
}

static bool has_block(const struct free_blocks *blocks, int64_t order, bool is_movable)
{
	const uint32_t ordinary = 1u << ('U' - 'A') | 1u << ('M' - 'A') | 1u << ('E' - 'A'), cma = 1u << ('C' - 'A');
	int64_t counts[MOST_ORDERS];
	uint32_t kinds[MOST_ORDERS];
	size_t n = counts_of(str_text(blocks->blocks), counts, kinds, MOST_ORDERS);

	for (size_t i = (size_t)order; i < n && i < MOST_ORDERS; i++)
		if (counts[i] && (!kinds[i] || kinds[i] & ordinary || (is_movable && kinds[i] & cma)))
			return true;
	return false;
}

static const struct free_blocks *find_free_blocks(const struct report *r, const struct zone *zone)
{
	for (size_t i = 0; i < r->n_free_blocks; i++)
		if (same_number(r->free_blocks[i].node, zone->node) && str_equal(r->free_blocks[i].zone, zone->name))
			return &r->free_blocks[i];
	return NULL;
}

/* Room in the zones of a node, and of nodes: the largest; None where what cannot be judged may be the only one with room. */
struct best {
	bool has_any, has_unknown;
	int64_t most, least;
};

static void take_room(struct best *best, struct number room)
{
	if (!room.is_there) {
		best->has_unknown = true;
		return;
	}
	if (!best->has_any || room.value > best->most)
		best->most = room.value;
	if (!best->has_any || room.value < best->least)
		best->least = room.value;
	best->has_any = true;
}

static struct number most_of(const struct best *best)
{
	if (!best->has_any || (best->has_unknown && best->most <= 0))
		return (struct number){0};
	return number_of(best->most);
}

struct view {
	struct number node, room;
	bool is_done;
};

struct number request_room_kb(struct assembler *a, const struct report *r)
{
	int64_t page_kb = page_kb_of(r), order = r->order.value;
	unsigned named = 0;
	struct best nodes = {0};
	struct view *views;
	struct number most;
	size_t n = 0;
	int highest;

	if (!r->gfp_mask.is_there || !r->gfp_mask.value || !r->order.is_there || order < 0 || !r->n_zones)
		return (struct number){0};
	for (size_t i = 0; i < r->n_zones; i++) {
		int kind = kind_of(str_text(r->zones[i].name));

		named |= kind < 0 ? 0 : 1u << kind;
	}
	highest = highest_zone(r->gfp_mask.value, named);
	if (highest < 0)
		return (struct number){0};
	views = take(a, r->n_zones * sizeof *views);
	for (size_t i = 0; i < r->n_zones; i++) {
		const struct zone *zone = &r->zones[i];
		const struct free_blocks *blocks = find_free_blocks(r, zone);
		int kind = kind_of(str_text(zone->name));
		bool is_movable = r->gfp_mask.value & MOVABLE_BIT;
		__int128 room = (__int128)zone->free_kb - zone->high_kb;

		if (kind < 0 || kind > highest || !names_node(r->mems_allowed, zone->node) || !names_node(r->nodemask, zone->node))
			continue;
		room -= (((__int128)1 << (order < LARGEST_ORDER ? order : LARGEST_ORDER)) - 1) * page_kb + (zone->highatomic_kb.is_there ? zone->highatomic_kb.value : 0) +
			(!is_movable && zone->cma_kb.is_there ? zone->cma_kb.value : 0) + (__int128)reserve_pages(kind, zone, highest, named) * page_kb;
		views[n] = (struct view){.node = zone->node, .room = number_of(clamped(room))};
		if (order && room > 0)
			views[n].room = !blocks ? (struct number){0} : has_block(blocks, order, is_movable) ? views[n].room : number_of(0);
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		struct best node = {0};

		if (views[i].is_done)
			continue;
		for (size_t k = i; k < n; k++)
			if (same_number(views[i].node, views[k].node)) {
				take_room(&node, views[k].room);
				views[k].is_done = true;
			}
		take_room(&nodes, most_of(&node));
	}
	give_back(a, views);
	most = most_of(&nodes);
	if (r->mems_allowed && r->nodemask)
		return most;
	/* One node, or a policy that the report does not name: to 4.8 no report names it. */
	if (nodes.has_unknown || !nodes.has_any || !most.is_there || (nodes.least > 0) != (most.value > 0))
		return (struct number){0};
	return number_of(nodes.least);
}
