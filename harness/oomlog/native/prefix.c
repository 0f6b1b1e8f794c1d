/* The common prefixes of prefix.py: none, the kernel's stamp, rsyslog's, and that of dmesg -T. Every other is left to it. */
#include "native.h"

enum { MOST_DIGITS = 15 }; /* of a stamp that a double holds exactly, before it is divided */

/* The month by its English name, 1 to 12; 0 for any other. */
static int month_of(struct text name)
{
	static const char NAMES[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	if (length(name) == 3)
		for (int i = 0; i < 12; i++)
			if (!memcmp(NAMES + 3 * i, name.p, 3))
				return i + 1;
	return 0;
}

static bool eat_digits(struct text *t, int most, int64_t *value)
{
	const char *p = t->p;

	return eat_number(t, value) && t->p - p <= most;
}

static bool eat_two(struct text *t, int most, int *value)
{
	if (length(*t) < 2 || !is_digit(t->p[0]) || !is_digit(t->p[1]))
		return false;
	*value = (t->p[0] - '0') * 10 + t->p[1] - '0';
	t->p += 2;
	return *value <= most;
}

static bool eat_clock(struct text *t, int *seconds)
{
	int h, m, s;

	if (!eat_two(t, 23, &h) || !eat_char(t, ':') || !eat_two(t, 59, &m) || !eat_char(t, ':') || !eat_two(t, 59, &s))
		return false;
	*seconds = (h * 60 + m) * 60 + s;
	return true;
}

static bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

/* Days before a date since the beginning of its year; -1 where the month has no such day. */
static int day_of_year(int64_t year, int month, int64_t day)
{
	static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int sum = 0;

	if (!month || day < 1 || day > DAYS[month - 1] + (month == 2 && is_leap(year)))
		return -1;
	for (int i = 0; i < month - 1; i++)
		sum += DAYS[i] + (i == 1 && is_leap(year));
	return sum + (int)day - 1;
}

static int64_t days_since_1970(int64_t year)
{
	year--;
	return year * 365 + year / 4 - year / 100 + year / 400 - 719162;
}

/* "[" blanks "12.345678]", as printk writes it, and its caller where there is one. */
static bool eat_stamp(struct text *t, struct line *line)
{
	static const double POWERS[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	struct text rest = *t, caller;
	uint64_t number = 0; /* too many digits make it wrap, and are refused below */
	int whole = 0, fraction = 0;

	if (!eat_char(&rest, '['))
		return false;
	while (length(rest) && is_blank(*rest.p))
		rest.p++;
	for (; length(rest) && is_digit(*rest.p) && whole < 13; rest.p++, whole++)
		number = number * 10 + (uint64_t)(*rest.p - '0');
	if (!whole || whole > 12 || !eat_char(&rest, '.'))
		return false;
	for (; length(rest) && is_digit(*rest.p) && fraction < 10; rest.p++, fraction++)
		number = number * 10 + (uint64_t)(*rest.p - '0');
	if (!fraction || fraction > 9 || whole + fraction > MOST_DIGITS || !eat_char(&rest, ']'))
		return false;
	line->has_uptime = true;
	line->uptime_s = (double)number / POWERS[fraction];
	*t = rest;
	eat_char(&rest, ' ');
	if (eat_char(&rest, '[')) {
		while (length(rest) && is_blank(*rest.p))
			rest.p++;
		caller.p = rest.p;
		if (length(rest) > 1 && (*rest.p == 'T' || *rest.p == 'C') && is_digit(rest.p[1])) {
			for (rest.p++; length(rest) && is_digit(*rest.p); rest.p++)
				;
			caller.end = rest.p;
			if (eat_char(&rest, ']')) {
				line->caller = caller;
				*t = rest;
			}
		}
	}
	if (length(*t) && is_blank(*t->p))
		t->p++;
	return true;
}

/* "Nov 14 22:13:20 node1 kernel: ", with a stamp behind it or none. */
static bool eat_syslog(struct text *t, struct line *line)
{
	struct text rest = *t, month = {t->p, t->p}, host;
	int64_t day;
	int seconds, days;

	while (length(rest) && (is_upper(*rest.p) || is_lower(*rest.p)))
		rest.p++;
	month.end = rest.p;
	if (!eat_blanks(&rest) || !eat_digits(&rest, 2, &day) || !eat_char(&rest, ' ') || !eat_clock(&rest, &seconds) ||
	    !eat_char(&rest, ' '))
		return false;
	days = day_of_year(2000, month_of(month), day); /* a year that has every day */
	host.p = rest.p;
	while (length(rest) && !is_blank(*rest.p))
		rest.p++;
	host.end = rest.p;
	if (days < 0 || !length(host) || host.end[-1] == ':' || !eat(&rest, " kernel: "))
		return false;
	line->has_wall = line->is_yearless = true;
	line->wall_s = (double)(days * 86400 + seconds);
	line->host = host;
	*t = rest;
	if (!eat_stamp(t, line) && length(*t) && strchr("*{>|[<", *t->p))
		return false;
	return true;
}

/* "[Tue Nov 14 22:13:20 2023] " */
static bool eat_calendar(struct text *t, struct line *line)
{
	struct text rest = *t, month;
	int64_t day, year;
	int seconds, days;

	if (!eat_char(&rest, '[') || !length(rest) || is_blank(*rest.p))
		return false;
	while (length(rest) && !is_blank(*rest.p) && *rest.p != ']')
		rest.p++;
	if (!eat_blanks(&rest))
		return false;
	month.p = rest.p;
	while (length(rest) && !is_blank(*rest.p))
		rest.p++;
	month.end = rest.p;
	if (!eat_blanks(&rest) || !eat_digits(&rest, 2, &day) || !eat_char(&rest, ' ') || !eat_clock(&rest, &seconds) ||
	    !eat_char(&rest, ' ') || !eat_digits(&rest, 4, &year) || year < 1970 || !eat_char(&rest, ']'))
		return false;
	days = day_of_year(year, month_of(month), day);
	if (days < 0)
		return false;
	if (length(rest) && is_blank(*rest.p))
		rest.p++;
	line->has_wall = true;
	line->wall_s = (double)((days_since_1970(year) + days) * 86400 + seconds);
	*t = rest;
	return true;
}

/* Whether a text behind a stamp may be one with another prefix. */
static bool may_have_more(struct text t)
{
	return (length(t) && strchr("*{>|", *t.p)) || find(t, "]: ") || find(t, " kernel: ");
}

/* "[ pid ]": the head of a table, not a stamp */
static bool is_table_head(struct text t)
{
	if (!eat_char(&t, '['))
		return false;
	eat_blanks(&t);
	return begins(t, "pid");
}

/* The line without its prefix; false where the Python reader has to see what it is. */
bool peel(struct text raw, struct line *line)
{
	struct text t = raw;

	*line = (struct line){.is_bare = false, .caller = {raw.p, raw.p}, .host = {raw.p, raw.p}};
	if (!length(t))
		return false;
	while (length(t) && is_blank(*t.p))
		t.p++;
	if (length(t) && *t.p == '[') {
		if (eat_stamp(&t, line)) {
			if (may_have_more(t))
				return false;
		} else if (eat_calendar(&t, line)) {
			/* a colon may be a facility's or a host's; the kernel's own texts have theirs behind other words */
			if (!length(t) || may_have_more(t) || (!is_upper(*t.p) && !is_lower(*t.p) && !is_digit(*t.p) && *t.p != ' ' && !is_table_head(t)))
				return false;
		} else if (is_table_head(t)) {
			line->is_bare = true;
		} else {
			return false;
		}
	} else if (t.p == raw.p && eat_syslog(&t, line)) {
		;
	} else if (length(t) && (is_upper(*t.p) || is_lower(*t.p) || is_digit(*t.p))) {
		line->is_bare = true;
	} else {
		return false;
	}
	line->text = t;
	return true;
}
