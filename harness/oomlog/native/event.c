/* Lines of events that are found by "Kernel panic" and "OOM killer ": events.py has the others. */
#include "native.h"

static const char PANIC[] = "Kernel panic - not syncing: ";

static bool is_panic_of_oom(struct text t)
{
	return eat(&t, PANIC) && (begins(t, "Out of memory") || begins(t, "out of memory") || begins(t, "System is deadlocked on memory"));
}

static bool is_panic_of_init(struct text t) { return eat(&t, PANIC) && begins(t, "Attempted to kill init!"); }

static bool is_same(struct text t, const char *words) { return length(t) == strlen(words) && begins(t, words); }

/* events.parse_event */
bool read_event(struct buffer *out, struct text text)
{
	struct text t = trimmed(text);
	const char *kind;

	if (is_panic_of_oom(t))
		kind = "panic";
	else if (is_panic_of_init(t))
		kind = "init-killed";
	else if (is_same(t, "OOM killer disabled."))
		kind = "oom-disabled";
	else if (is_same(t, "OOM killer enabled."))
		kind = "oom-enabled";
	else
		return false;
	put_array(out, 4);
	put_word(out, "Event");
	put_word(out, kind);
	put_nothing(out);
	put_text(out, t);
	return true;
}

/* Whether a line that holds one of the words, and no other form's, certainly says nothing: it begins like no event, and has no mark that the
 * Python reader would look behind. */
bool is_no_event(struct text text)
{
	static const char *const BEGINNINGS[] = {"sysrq:", "SysRq", "OOM ", "oom killer", "Huh", "Purging", "watchdog:", "BUG:", "INFO:"};
	struct text t = trimmed(text);

	if (find(t, "process:"))
		return false;
	if (begins(t, PANIC))
		return !is_panic_of_oom(t) && !is_panic_of_init(t) && !memchr(t.p, '[', length(t));
	for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
		if (begins(t, BEGINNINGS[i]))
			return false;
	for (; t.p < t.end; t.p++)
		if (!is_word(*t.p) && !strchr(" -_.,:", *t.p))
			return false;
	return true;
}
