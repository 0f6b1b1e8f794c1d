/* Which boot of which host a record is of, and whether it is a copy of one that is there already: boots.py. */
#include "assembler.h"

#define BACK_S 1.0
#define WALL_BACK_S (2 * 3600.0)
#define YEAR_TURN_S (300 * 86400.0)

struct place place_of(struct assembler *a, const struct where *where)
{
	return (struct place){
		where->line, where->offset, where->has_uptime, where->has_wall, where->is_yearless, where->uptime_s, where->wall_s, str_of(a, where->host),
	};
}

/* Boots and hosts */

static struct boot *new_boot(struct assembler *a, struct text boot_id)
{
	struct boot *boot = take(a, sizeof *boot);

	boot->refs = 1;
	boot->number = ++a->boots;
	boot->boot_id = str_of(a, boot_id);
	boot->is_fresh = true;
	return boot;
}

void drop_chosen(struct assembler *a, struct print_context *context)
{
	if (!context->chosen)
		return;
	str_drop(a, context->chosen->comm);
	if (context->chosen->has_where)
		str_drop(a, context->chosen->where.host);
	give_back(a, context->chosen);
	context->chosen = NULL;
}

void drop_group(struct assembler *a, struct print_context *context)
{
	struct group *group = context->group;

	if (!group)
		return;
	context->group = NULL;
	str_drop(a, group->memcg);
	report_drop(a, group->report);
	while (group->kills.n)
		kill_drop(a, queue_pop(&group->kills));
	give_back(a, group->kills.at);
	give_back(a, group->pids);
	give_back(a, group);
}

/* Makes it as good as new. */
void empty_context(struct assembler *a, struct print_context *context)
{
	drop_chosen(a, context);
	drop_group(a, context);
	report_drop(a, context->report);
	kill_drop(a, context->last_kill);
	*context = (struct print_context){.name = context->name};
}

void boot_drop(struct assembler *a, struct boot *boot)
{
	if (!boot || --boot->refs)
		return;
	while (boot->contexts.n) {
		struct print_context *context = queue_pop(&boot->contexts);

		empty_context(a, context);
		str_drop(a, context->name);
		give_back(a, context);
	}
	while (boot->recent_kills.n)
		kill_drop(a, queue_pop(&boot->recent_kills));
	while (boot->reports.n)
		report_drop(a, queue_pop(&boot->reports));
	while (boot->recent_lines.n) {
		struct recent_line *recent = queue_pop(&boot->recent_lines);

		if (recent->key->is_listed)
			unlist_key(a, boot, recent->key);
		drop_key(a, recent->key);
		give_back(a, recent);
	}
	kill_drop(a, boot->last_estimated);
	str_drop(a, boot->boot_id);
	str_drop(a, boot->kernel);
	str_drop(a, boot->release);
	str_drop(a, boot->banner.host);
	give_back(a, boot->contexts.at);
	give_back(a, boot->recent_kills.at);
	give_back(a, boot->reports.at);
	give_back(a, boot->recent_lines.at);
	give_back(a, boot->keys);
	give_back(a, boot);
}

void forget_boots(struct assembler *a)
{
	while (a->n_hosts) {
		struct host *host = &a->hosts[--a->n_hosts];

		str_drop(a, host->name);
		boot_drop(a, host->boot);
	}
	str_set(a, &a->host, str_of(a, text_of("", 0)));
}

static struct host *find_host(struct assembler *a, struct text name)
{
	if (a->last_host < a->n_hosts && str_is(a->hosts[a->last_host].name, name))
		return &a->hosts[a->last_host];
	for (size_t i = 0; i < a->n_hosts; i++)
		if (str_is(a->hosts[i].name, name)) {
			a->last_host = i;
			return &a->hosts[i];
		}
	return NULL;
}

static struct host *add_host(struct assembler *a, struct str *name, struct boot *boot)
{
	if (a->n_hosts == a->hosts_capacity) {
		a->hosts_capacity = a->hosts_capacity * 2 + 4;
		a->hosts = resize(a, a->hosts, a->hosts_capacity * sizeof *a->hosts);
	}
	a->hosts[a->n_hosts] = (struct host){name, boot};
	return &a->hosts[a->n_hosts++];
}

/* Boots.host_of(): it is that of `a->host` afterwards, or of the text that is given back. */
static struct text host_of(struct assembler *a, struct text host)
{
	struct host *unnamed;

	if (str_is(a->host, host) || find_host(a, host)) {
		if (length(host))
			str_set(a, &a->host, str_of(a, host));
		return find_host(a, host) ? host : str_text(a->host);
	}
	if (!length(host))
		return str_text(a->host);
	if (!has_text(a->host) && (unnamed = find_host(a, text_of("", 0)))) {
		struct boot *boot = unnamed->boot;

		/* it comes last, as in a dict */
		str_drop(a, unnamed->name);
		memmove(unnamed, unnamed + 1, (size_t)(a->hosts + a->n_hosts - unnamed - 1) * sizeof *unnamed);
		a->n_hosts--;
		add_host(a, str_of(a, host), boot);
	}
	str_set(a, &a->host, str_of(a, host));
	return host;
}

struct boot *find_boot(struct assembler *a, struct text host)
{
	struct host *found = find_host(a, host_of(a, host));

	return found ? found->boot : NULL;
}

static struct boot *next_boot(struct assembler *a, struct host *host, struct text boot_id)
{
	size_t index = (size_t)(host - a->hosts);

	end_boot(a, host->boot);
	host = &a->hosts[index];
	boot_drop(a, host->boot);
	host->boot = new_boot(a, boot_id);
	return host->boot;
}

static bool goes_back(const struct boot *boot, const struct where *where)
{
	double back;

	if (where->has_uptime)
		return boot->has_uptime && where->uptime_s < boot->last_uptime_s - BACK_S;
	if (!where->has_wall || !boot->has_wall || boot->has_uptime)
		return false;
	back = boot->last_wall_s - where->wall_s;
	return back > WALL_BACK_S && !(where->is_yearless && back > YEAR_TURN_S);
}

static bool is_same_banner(const struct boot *boot, const struct where *where, struct text release)
{
	const struct place *before = &boot->banner;

	if (!str_is(boot->release, release) || where->has_uptime != before->has_uptime || where->has_wall != before->has_wall ||
	    (where->has_uptime && where->uptime_s != before->uptime_s) || (where->has_wall && where->wall_s != before->wall_s))
		return false;
	return where->line - before->line <= (where->has_wall && boot->is_fresh ? DUPLICATE_LINES : 1) && (where->has_uptime || where->has_wall);
}

static bool is_duplicate(struct boot *boot, const struct where *where, struct text bytes, uint64_t hash, enum type type)
{
	const struct key *before = find_key(boot, bytes, hash);

	if (!before || where->line - before->line > DUPLICATE_LINES)
		return false;
	return type == KILLED || (where->has_uptime && boot->has_uptime && where->uptime_s <= boot->last_uptime_s);
}

/* The boot that a record belongs to, or NULL for a copy of one that is there already. */
struct boot *boot_of(struct assembler *a, const struct where *where, const struct record *record)
{
	bool is_boot = record->type == BOOT_OF, has_key;
	struct text release = is_boot ? as_text(&record->field[0]) : (struct text){0}, boot_id = is_boot ? as_text(&record->field[1]) : (struct text){0};
	struct host *host = str_is(a->host, where->host) ? find_host(a, where->host) : NULL;
	struct boot *boot;
	struct bytes bytes = {0};
	struct text key;
	uint64_t hash = 0;

	if (!host) {
		struct text name = host_of(a, where->host);

		host = find_host(a, name);
		if (!host)
			host = add_host(a, str_of(a, name), new_boot(a, text_of("", 0)));
	}
	boot = host->boot;
	if (is_boot) {
		bool is_other;

		if (release.p && boot->has_banner && is_same_banner(boot, where, release))
			return NULL;
		is_other = !boot->is_fresh || (boot->has_banner && release.p);
		if (is_other || (length(boot_id) && !str_is(boot->boot_id, boot_id))) {
			if (is_other)
				boot = next_boot(a, host, boot_id);
			str_set(a, &boot->boot_id, str_of(a, boot_id.p ? boot_id : text_of("", 0)));
		}
		if (release.p) {
			str_drop(a, boot->banner.host);
			boot->banner = place_of(a, where);
			boot->has_banner = true;
			str_set(a, &boot->release, str_of(a, release));
		}
	} else if (length(where->boot_id) && has_text(boot->boot_id) && !str_is(boot->boot_id, where->boot_id)) {
		boot = next_boot(a, host, where->boot_id);
	}
	if (!has_text(boot->boot_id))
		str_set(a, &boot->boot_id, str_of(a, where->boot_id));
	has_key = !is_boot && key_of(a, where, record, &bytes);
	key = text_of(bytes.p ? bytes.p : "", bytes.n);
	if (has_key) {
		hash = hash_of(key.p, length(key));
		if (is_duplicate(boot, where, key, hash, record->type)) {
			give_back(a, bytes.p);
			return NULL;
		}
	}
	if (!is_boot && goes_back(boot, where))
		boot = next_boot(a, host, where->boot_id);
	boot->is_fresh = is_boot;
	if (where->has_uptime) {
		double last = boot->has_uptime ? boot->last_uptime_s : 0;

		boot->last_uptime_s = last > where->uptime_s ? last : where->uptime_s;
		boot->has_uptime = true;
	}
	if (where->has_wall) {
		boot->last_wall_s = where->wall_s;
		boot->has_wall = true;
	}
	if (has_key)
		note_key(a, boot, key, hash, where->line);
	give_back(a, bytes.p);
	return boot;
}

struct print_context *find_context(const struct boot *boot, struct text name)
{
	for (size_t i = boot->contexts.n; i--;) {
		struct print_context *context = queue_at(&boot->contexts, i);

		if (str_is(context->name, name))
			return context;
	}
	return NULL;
}
