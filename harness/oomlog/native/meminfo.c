/* The lines of Mem-Info: meminfo.py. */
#include "native.h"

/* A size further on in the line, in kB or KB: 1 there, 0 not there, -1 not to be told. */
static int field_kb(struct text t, const char *name, int64_t *kb)
{
	const char *p = find(t, name);

	if (!p)
		return 0;
	t.p = p + strlen(name);
	if (!eat_number(&t, kb) || length(t) < 2 || (*t.p != 'k' && *t.p != 'K') || t.p[1] != 'B')
		return -1;
	return 1;
}

static bool eat_node(struct text *t, int64_t *node, bool *has_node)
{
	*has_node = eat(t, "Node ");
	return !*has_node || (eat_number(t, node) && eat_char(t, ' '));
}

/* meminfo.parse_zone */
bool read_zone(struct buffer *out, struct text t)
{
	int64_t node = 0, free_kb, boost, min, low, high, highatomic = 0, reserved = 0, cma = 0;
	struct text whole = t, name;
	int has_highatomic, has_reserved, has_cma;
	bool has_node;

	if (!eat_node(&t, &node, &has_node))
		return false;
	name = eat_name(&t);
	if (!length(name) || !eat_size(&t, " free:", &free_kb) || !eat_char(&t, ' '))
		return false;
	if (eat_size(&t, "boost:", &boost) && !eat_char(&t, ' '))
		return false;
	if (!eat_size(&t, "min:", &min) || !eat_size(&t, " low:", &low) || !eat_size(&t, " high:", &high))
		return false;
	has_highatomic = field_kb(whole, "free_highatomic:", &highatomic);
	has_reserved = field_kb(whole, "reserved_highatomic:", &reserved);
	has_cma = field_kb(whole, "free_cma:", &cma);
	if (has_highatomic < 0 || has_reserved < 0 || has_cma < 0)
		return false;
	put_array(out, 9);
	put_word(out, "Zone");
	put_optional(out, has_node, node);
	put_text(out, name);
	put_number(out, free_kb);
	put_number(out, min);
	put_number(out, low);
	put_number(out, high);
	if (has_highatomic && highatomic)
		put_number(out, highatomic);
	else
		put_optional(out, has_reserved, reserved);
	put_optional(out, has_cma, cma);
	return true;
}

bool read_reserve(struct buffer *out, struct text t)
{
	enum { MOST = 64 };
	int64_t pages[MOST];
	size_t n = 0;

	if (!eat(&t, "lowmem_reserve[]:"))
		return false;
	while (n < MOST && length(t) > 1 && *t.p == ' ' && is_digit(t.p[1])) {
		t.p++;
		if (!eat_number(&t, &pages[n++]))
			return false;
	}
	if (!n || n == MOST || (length(t) && *t.p != ' '))
		return false;
	put_array(out, 2);
	put_word(out, "LowmemReserve");
	put_array(out, n);
	for (size_t i = 0; i < n; i++)
		put_number(out, pages[i]);
	return true;
}

/* meminfo.parse_buddy */
bool read_buddy(struct buffer *out, struct text t)
{
	int64_t node = 0, skipped;
	struct text name, blocks, first;
	bool has_node;
	const char *p;

	if (!eat_node(&t, &node, &has_node))
		return false;
	name = eat_name(&t);
	if (!length(name) || !eat(&t, ": ") || !(p = memchr(t.p, '=', length(t))))
		return false;
	first = blocks = (struct text){t.p, p};
	if (!eat_number(&first, &skipped) || !eat_char(&first, '*') || !eat_number(&first, &skipped) || !eat(&first, "kB "))
		return false;
	t.p = p;
	if (!eat_size(&t, "= ", &skipped))
		return false;
	put_array(out, 5);
	put_word(out, "FreeBlocks");
	put_optional(out, has_node, node);
	put_text(out, name);
	put_text(out, blocks);
	put_bool(out, true);
	return true;
}

/* meminfo.parse_lists */
bool read_lists(struct buffer *out, struct text t)
{
	struct text rest;
	int64_t skipped;

	while (t.p < t.end && is_blank(*t.p))
		t.p++;
	rest = t;
	if (!(eat(&rest, "active_anon:") || eat(&rest, "Active_anon:") || eat(&rest, "unevictable:") || eat(&rest, "mapped:")) ||
	    !eat_number(&rest, &skipped) || !eat_char(&rest, ' '))
		return false;
	put_array(out, 2);
	put_word(out, "PageCounts");
	put_text(out, t);
	return true;
}

bool read_swap(struct buffer *out, struct text t)
{
	struct text kind = {t.p, t.p};
	int64_t kb;

	if (!eat(&t, "Total") && !eat(&t, "Free"))
		return false;
	kind.end = t.p;
	if (!eat(&t, " swap"))
		return false;
	eat_blanks(&t);
	if (!eat_char(&t, '=') && !eat_char(&t, ':'))
		return false;
	eat_blanks(&t);
	if (!eat_size(&t, "", &kb))
		return false;
	put_array(out, 3);
	put_word(out, "Swap");
	put_text(out, kind);
	put_number(out, kb);
	return true;
}

bool read_ram(struct buffer *out, struct text t)
{
	int64_t pages;

	if (!eat_number(&t, &pages) || !eat(&t, " pages ") || (eat(&t, "of "), !eat(&t, "RAM")) || length(t))
		return false;
	put_array(out, 2);
	put_word(out, "RamPages");
	put_number(out, pages);
	return true;
}

/* "free:21725 free_pcp:4560": nothing but pages by name */
bool is_list(struct text t)
{
	int64_t skipped;

	do {
		struct text name = eat_name(&t);

		if (!length(name) || !eat_char(&t, ':') || !eat_number(&t, &skipped))
			return false;
	} while (eat_char(&t, ' '));
	return !length(t);
}
