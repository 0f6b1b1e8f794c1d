/* The lines of kills and of what follows them: kill.py and release.py. */
#include "native.h"

/* kill.py: the message before a kill; empty where there is none. */
static struct text eat_message(struct text *t)
{
	static const char *const MESSAGES[] = {
		"Memory cgroup out of memory", "Out of memory (oom_kill_allocating_task)", "Out of Memory (oom_kill_allocating_task)",
		"Out of memory", "Out of Memory", "No available memory (MPOL_BIND)", "No available memory in cpuset",
	};

	for (size_t i = 0; i < sizeof MESSAGES / sizeof *MESSAGES; i++) {
		struct text rest = *t;

		if (eat(&rest, MESSAGES[i]) && eat(&rest, ": ")) {
			*t = rest;
			return text_of(rest.p - strlen(MESSAGES[i]) - 2, strlen(MESSAGES[i]));
		}
	}
	return text_of(t->p, 0);
}

/* The name in the last brackets; what follows them is left in `t`. */
static bool eat_comm(struct text *t, struct text *comm)
{
	const char *p;

	if (!eat_char(t, '('))
		return false;
	for (p = t->end; p > t->p && p[-1] != ')'; p--)
		;
	if (p == t->p || p - 1 - t->p > LONGEST_COMM)
		return false;
	*comm = (struct text){t->p, p - 1};
	t->p = p;
	return true;
}

bool read_killed(struct buffer *out, struct text text)
{
	struct text t = trimmed(text), message = eat_message(&t), comm;
	int64_t pid, uid, total_vm, anon, file, shmem, pgtables, adj;
	bool has_uid = false, has_shmem, has_adj = false;

	if (!eat(&t, "Killed process ") || !eat_number(&t, &pid))
		return false;
	if (eat(&t, ", UID ")) {
		if (!eat_number(&t, &uid) || !eat_char(&t, ','))
			return false;
		has_uid = true;
	}
	if (!eat_char(&t, ' ') || !eat_comm(&t, &comm))
		return false;
	if (!has_uid && eat(&t, ", UID ")) {
		if (!eat_number(&t, &uid) || !eat_char(&t, ','))
			return false;
		has_uid = true;
	}
	if (!eat_size(&t, " total-vm:", &total_vm) || !eat_size(&t, ", anon-rss:", &anon) || !eat_size(&t, ", file-rss:", &file))
		return false;
	has_shmem = eat_size(&t, ", shmem-rss:", &shmem);
	if (has_shmem && eat(&t, ", UID:")) {
		if (has_uid || !eat_number(&t, &uid) || !eat_size(&t, " pgtables:", &pgtables) ||
		    !eat(&t, " oom_score_adj:") || !eat_signed(&t, &adj))
			return false;
		has_uid = has_adj = true;
	}
	if (length(t))
		return false;
	put_array(out, 12);
	put_word(out, "KilledLine");
	put_text(out, message);
	put_number(out, pid);
	put_text(out, comm);
	put_number(out, total_vm);
	put_number(out, anon);
	put_number(out, file);
	put_optional(out, has_shmem, shmem);
	put_optional(out, has_uid, uid);
	put_optional(out, has_adj, pgtables);
	put_optional(out, has_adj, adj);
	put_bool(out, true);
	return true;
}

bool read_chosen(struct buffer *out, struct text text)
{
	struct text t = trimmed(text), message = eat_message(&t), comm;
	int64_t pid, score;

	if (!length(message) || !(eat(&t, "Kill process ") || eat(&t, "kill process ")) || !eat_number(&t, &pid) ||
	    !eat_char(&t, ' ') || !eat_comm(&t, &comm) || !eat(&t, " score ") || !eat_signed(&t, &score) ||
	    !(eat(&t, " or sacrifice child") || eat(&t, " or a child")) || length(t))
		return false;
	put_array(out, 4);
	put_word(out, "ChosenVictim");
	put_text(out, message);
	put_number(out, pid);
	put_text(out, comm);
	return true;
}

bool read_reaped(struct buffer *out, struct text text)
{
	struct text t = trimmed(text), comm;
	int64_t pid, anon = 0, file = 0, shmem = 0;
	bool is_unable;

	if (!eat(&t, "oom_reaper: "))
		return false;
	is_unable = eat(&t, "unable to reap pid:");
	if (!is_unable && !eat(&t, "reaped process "))
		return false;
	eat_char(&t, is_unable ? '\0' : ':');
	if (!eat_number(&t, &pid) || !eat_char(&t, ' ') || !eat_comm(&t, &comm))
		return false;
	if (!is_unable && (!eat(&t, ", now") || !eat_size(&t, " anon-rss:", &anon) || !eat_size(&t, ", file-rss:", &file) ||
			   !eat_size(&t, ", shmem-rss:", &shmem)))
		return false;
	if (length(t))
		return false;
	put_array(out, 8);
	put_word(out, "Reaped");
	put_word(out, is_unable ? "unable" : "reaped");
	put_number(out, pid);
	put_text(out, comm);
	put_optional(out, !is_unable, anon);
	put_optional(out, !is_unable, file);
	put_optional(out, !is_unable, shmem);
	put_bool(out, true);
	return true;
}

bool read_group_kill(struct buffer *out, struct text text)
{
	static const char TAIL[] = " are going to be killed due to memory.oom.group set";
	struct text t = trimmed(text);

	if (!eat(&t, "Tasks in ") || length(t) <= strlen(TAIL) || memcmp(t.end - strlen(TAIL), TAIL, strlen(TAIL)))
		return false;
	t.end -= strlen(TAIL);
	put_array(out, 2);
	put_word(out, "GroupKill");
	put_text(out, t);
	return true;
}

static bool is_of_plain_name(char c) { return is_word(c) || c == '-' || c == '.' || c == '/' || c == ':' || c == '+'; }

/* Whether a text is the beginning of a word. */
static bool is_begun(struct text t, const char *word) { return length(t) <= strlen(word) && !memcmp(t.p, word, length(t)); }

/* What is left of a kill line that stops within a number, or the word behind it. */
static bool is_cut_number(struct text t)
{
	int64_t skipped;

	if (!length(t))
		return true;
	return eat_number(&t, &skipped) && is_begun(t, "k");
}

/* kill._parse_cut() of a line that stops behind "total-vm:", at no mark that the Python reader would take for a trailer. What it stopped
 * within is lost; a number counts with its unit. */
bool read_cut_kill(struct buffer *out, struct text text)
{
	static const char *const WORDS[] = {" total-vm:", ", anon-rss:", ", file-rss:", ", shmem-rss:"};
	static const char REST[] = ", UID:";
	enum { SIZES = sizeof WORDS / sizeof *WORDS };
	struct text t = trimmed(text), message = eat_message(&t), comm, rest;
	int64_t pid, uid, head_uid = 0, pgtables, sizes[SIZES];
	bool has_head_uid = false, has_all = false;
	int n = 0;

	if (t.end != text.end || !eat(&t, "Killed process ") || !eat_number(&t, &pid))
		return false;
	if (eat(&t, ", UID ")) {
		if (!eat_number(&t, &head_uid) || !eat_char(&t, ','))
			return false;
		has_head_uid = true;
	}
	if (!eat_char(&t, ' ') || !eat_comm(&t, &comm) || !is_made_of(comm, is_of_plain_name) || !begins(t, WORDS[0]))
		return false;
	while (n < SIZES && eat_size(&t, WORDS[n], &sizes[n]))
		n++;
	rest = t;
	if (n < SIZES && (n < 3 || length(rest))) {
		if (eat(&rest, WORDS[n]) ? !is_cut_number(rest) : !is_begun(rest, WORDS[n]))
			return false;
	} else if (n < SIZES || !length(rest)) {
		return false; /* it is whole */
	} else if (!eat(&rest, REST)) {
		if (!is_begun(rest, REST))
			return false;
	} else if (length(rest)) {
		if (has_head_uid || !eat_number(&rest, &uid))
			return false;
		has_all = eat_size(&rest, " pgtables:", &pgtables) && !length(rest);
		if (!has_all && (eat(&rest, " pgtables:") ? !is_cut_number(rest) : !is_begun(rest, " pgtables:")))
			return false;
	}
	if (text.end[-1] == ',')
		return false;
	put_array(out, 12);
	put_word(out, "KilledLine");
	put_text(out, message);
	put_number(out, pid);
	put_text(out, comm);
	for (int i = 0; i < SIZES; i++)
		put_optional(out, i < n, i < n ? sizes[i] : 0);
	put_optional(out, has_all || has_head_uid, has_all ? uid : head_uid);
	put_optional(out, has_all, has_all ? pgtables : 0);
	put_nothing(out);
	put_bool(out, false);
	return true;
}
