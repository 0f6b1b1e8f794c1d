/* Memory of victims that is neither free nor another task's, by the difference of two reports of a machine: global_in_flight_kb() in overlap.py. */
#include "assembler.h"

/* Sizes by pid. */
struct sizes {
	size_t n_slots; /* a power of two */
	struct slot {
		bool is_there;
		int64_t pid, kb;
	} *slot;
};

static struct slot *slot_of(const struct sizes *sizes, int64_t pid)
{
	size_t i = (size_t)((uint64_t)pid * 0x9e3779b97f4a7c15 >> 20) & (sizes->n_slots - 1);

	while (sizes->slot[i].is_there && sizes->slot[i].pid != pid)
		i = (i + 1) & (sizes->n_slots - 1);
	return &sizes->slot[i];
}

/* Anonymous memory of the listed tasks; with mapped files before 6.8. False where the table does not tell. */
static bool read_sizes(struct assembler *a, const struct report *r, struct sizes *sizes)
{
	const struct table *table = r->table;
	int position = table->position[RSS_ANON] >= 0 ? table->position[RSS_ANON] : table->position[RSS];

	if (position < 0)
		return false;
	for (sizes->n_slots = 16; sizes->n_slots < 2 * (size_t)table->rows;)
		sizes->n_slots *= 2;
	sizes->slot = take(a, sizes->n_slots * sizeof *sizes->slot);
	for (int64_t row = 0; row < table->rows; row++) {
		const int64_t *cells = table->cells + row * table->width;
		struct slot *slot = slot_of(sizes, cells[0]);

		*slot = (struct slot){true, cells[0], (int64_t)((uint64_t)cells[position] * (uint64_t)page_kb_of(r))};
	}
	return true;
}

static bool is_whole_enough(struct report *r)
{
	if (!has_whole_table(r))
		return false;
	read_pages(r);
	return r->active_anon.is_there && r->inactive_anon.is_there && r->unevictable.is_there && r->shmem.is_there;
}

static __int128 anon_kb(const struct report *r)
{
	__int128 pages = (__int128)r->active_anon.value + r->inactive_anon.value + r->unevictable.value;

	return (pages + (r->isolated_anon.is_there ? r->isolated_anon.value : 0)) * page_kb_of(r);
}

struct number machine_flight_kb(struct assembler *a, struct report *r, struct kill *const *certain, size_t n)
{
	struct report *before = NULL;
	struct sizes was = {0}, now = {0};
	__int128 flight = 0, shmem;
	struct number found = {0};

	for (size_t i = n; i-- && !before;)
		if (certain[i]->report && certain[i]->report != r)
			before = certain[i]->report;
	if (!before || !r->table || !before->table || !is_whole_enough(r) || !is_whole_enough(before) || r->boot != before->boot ||
	    page_kb_of(r) != page_kb_of(before))
		return found;
	if (read_sizes(a, before, &was) && read_sizes(a, r, &now)) {
		for (size_t i = 0; i < n; i++) {
			const struct slot *slot = slot_of(&was, certain[i]->pid);
			int64_t victim_kb = certain[i]->anon_kb.is_there ? certain[i]->anon_kb.value : 0;

			if (slot->is_there && !slot_of(&now, certain[i]->pid)->is_there)
				flight += victim_kb < slot->kb ? victim_kb : slot->kb;
		}
		for (size_t i = 0; i < now.n_slots; i++)
			if (now.slot[i].is_there) {
				const struct slot *slot = slot_of(&was, now.slot[i].pid);
				__int128 gained = (__int128)now.slot[i].kb - (slot->is_there ? slot->kb : 0);

				flight -= gained > 0 ? gained : 0;
			}
		shmem = (__int128)r->shmem.value - before->shmem.value;
		flight += anon_kb(r) - anon_kb(before) - (shmem > 0 ? shmem : 0) * page_kb_of(r);
		found = number_of(clamped(flight > 0 ? flight : 0));
	}
	give_back(a, was.slot);
	give_back(a, now.slot);
	return found;
}
