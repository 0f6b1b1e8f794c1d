/* The lines that hold a word of a form. Every second pair of bytes is looked up in a table: two pairs of each word are in it,
 * one behind the other, so that one of them is met wherever the word stands. Pairs of words are met everywhere: a second table has the
 * pairs that may follow, and hardly anything but words is in both. */
#define _GNU_SOURCE /* memrchr */
#include "native.h"

#include <stdlib.h>

enum { PAIRS = 1 << 16, NONE = 0xff, GROUPS = 8 };

struct word {
	struct text text;
	uint8_t number, form;
	bool after_digit; /* it counts behind a digit only */
};

/* A place in a word that a pair may be of. */
struct place {
	uint8_t word, offset, next;
};

struct words {
	uint8_t first[PAIRS]; /* of the places of each pair, NONE for most */
	uint8_t here[PAIRS], behind[PAIRS]; /* groups of words, as bits, that have the pair at a place, or two bytes behind it */
	struct word word[MAX_WORDS];
	struct place place[2 * MAX_WORDS];
	int n_words, n_places;
};

/* How often a byte stands in a log, of a thousand: letters about as in English. Only the order of products matters. */
static unsigned frequency(char c)
{
	static const char LETTERS[] = "etaoinsrhldcumfpgwybvkxjqz";
	static const uint8_t OF[] = {120, 90, 80, 75, 75, 67, 63, 60, 30, 40, 40, 30, 28, 24, 22, 20, 20, 15, 15, 15, 10, 8, 3, 2, 1, 1};
	const char *p = memchr(LETTERS, c, sizeof LETTERS - 1);

	if (p)
		return OF[p - LETTERS];
	if (c == ' ')
		return 120;
	if (is_digit(c))
		return 80;
	return is_upper(c) || memchr(":-=[]./()_", c, 10) ? 10 : 3;
}

static unsigned pair_at(const char *p) { return (unsigned)(uint8_t)p[0] | (unsigned)(uint8_t)p[1] << 8; }

static void add_place(struct words *words, int word, int offset)
{
	const char *p = words->word[word].text.p + offset;
	size_t rest = length(words->word[word].text) - (size_t)offset;
	unsigned pair = pair_at(p);
	uint8_t group = (uint8_t)(1 << word % GROUPS);

	words->place[words->n_places] = (struct place){(uint8_t)word, (uint8_t)offset, words->first[pair]};
	words->first[pair] = (uint8_t)words->n_places++;
	words->here[pair] |= group;
	if (rest >= 4)
		words->behind[pair_at(p + 2)] |= group;
	else
		/* where the word ends before, anything may follow */
		for (pair = 0; pair < PAIRS; pair++)
			if (rest < 3 || (pair & 0xff) == (uint8_t)p[2])
				words->behind[pair] |= group;
}

/* Takes a word of a form. False where there is no room, or it is too short. The word must live as long as the table. */
bool oomtrial_add_word(struct words *words, const char *word, size_t n, int number, int form, bool after_digit)
{
	int best = 0;
	uint64_t least = UINT64_MAX;

	if (words->n_words == MAX_WORDS || n < 3 || n > 64)
		return false;
	words->word[words->n_words] = (struct word){text_of(word, n), (uint8_t)number, (uint8_t)form, after_digit};
	/* Of two pairs, the one behind another, and the pair behind each: four bytes from the first, and four from the second. */
	for (int offset = 0; offset + 5 <= (int)n; offset++) {
		const char *p = word + offset;
		uint64_t cost = (frequency(p[0]) + frequency(p[4])) * (uint64_t)frequency(p[1]) * frequency(p[2]) * frequency(p[3]);

		if (cost < least) {
			least = cost;
			best = offset;
		}
	}
	add_place(words, words->n_words, best);
	add_place(words, words->n_words, best + 1);
	words->n_words++;
	return true;
}

struct words *oomtrial_new_words(void)
{
	struct words *words = calloc(1, sizeof *words);

	if (words)
		memset(words->first, NONE, sizeof words->first);
	return words;
}

enum form form_of(const struct words *words, int number)
{
	for (int i = 0; i < words->n_words; i++)
		if (words->word[i].number == number)
			return words->word[i].form;
	return OTHER;
}

/* The words found in one line, in the order of their ends. */
struct hits {
	int n;
	bool is_full;
	struct {
		const char *end;
		uint8_t number, form;
	} hit[64];
};

static void add_hit(struct hits *hits, const char *end, const struct word *word)
{
	int i = hits->n;

	if (i == sizeof hits->hit / sizeof *hits->hit) {
		hits->is_full = true;
		return;
	}
	for (; i > 0 && hits->hit[i - 1].end > end; i--)
		hits->hit[i] = hits->hit[i - 1];
	hits->hit[i].end = end;
	hits->hit[i].number = word->number;
	hits->hit[i].form = word->form;
	hits->n++;
}

static bool add_mark(struct marks *marks, const char *data, struct text line, const struct hits *hits)
{
	struct mark *mark;

	if (marks->n == marks->capacity) {
		size_t capacity = marks->capacity * 2 + 1024;
		struct mark *grown = realloc(marks->mark, capacity * sizeof *grown);

		if (!grown)
			return false;
		marks->mark = grown;
		marks->capacity = capacity;
	}
	mark = &marks->mark[marks->n++];
	*mark = (struct mark){.start = line.p - data, .end = line.end - data};
	for (int i = 0; i < hits->n; i++) {
		if (hits->hit[i].form == ENCODED)
			marks->is_encoded = true;
		if (memchr(mark->words, hits->hit[i].number, mark->n_words < MAX_FORMS ? mark->n_words : MAX_FORMS))
			continue;
		if (mark->n_words < MAX_FORMS)
			mark->words[mark->n_words] = hits->hit[i].number;
		if (mark->n_words <= MAX_FORMS)
			mark->n_words++;
	}
	if (hits->is_full)
		mark->n_words = MAX_FORMS + 1;
	return true;
}

static unsigned groups_at(const struct words *words, const char *p) { return words->here[pair_at(p)] & words->behind[pair_at(p + 2)]; }

/* The next pair from `p` on, which is of a word or the last. Most are of none: four are looked up for one branch. */
static const char *next_pair(const struct words *words, const char *p, const char *stop)
{
	while (stop - p >= 10 && !(groups_at(words, p) | groups_at(words, p + 2) | groups_at(words, p + 4) | groups_at(words, p + 6)))
		p += 8;
	while (stop - p >= 4 && !groups_at(words, p))
		p += 2;
	while (stop - p >= 2 && stop - p < 4 && words->first[pair_at(p)] == NONE)
		p += 2;
	return p;
}

/* Marks the lines that hold a word and begin before `end`. False where there is no memory. */
bool mark_lines(const struct words *words, const char *data, size_t n, size_t end, struct marks *marks)
{
	struct text line = {data, data};
	struct hits hits = {0};
	const char *stop = data + n;
	bool has_line = false;

	for (const char *p = next_pair(words, data, stop); stop - p >= 2; p = next_pair(words, p + 2, stop)) {
		for (int i = words->first[pair_at(p)]; i != NONE; i = words->place[i].next) {
			const struct place *place = &words->place[i];
			const struct word *word = &words->word[place->word];
			size_t size = length(word->text);
			const char *begin = p - place->offset, *newline;

			if (p - data < place->offset || (size_t)(stop - begin) < size || memcmp(begin, word->text.p, size))
				continue;
			if (word->after_digit && (begin == data || !is_digit(begin[-1])))
				continue;
			if (has_line && begin < line.end) {
				add_hit(&hits, begin + size, word);
				continue;
			}
			if (has_line && !add_mark(marks, data, line, &hits))
				return false;
			newline = memrchr(has_line ? line.end : data, '\n', (size_t)(begin - (has_line ? line.end : data)));
			line.p = newline ? newline + 1 : data;
			if (line.p >= data + end)
				return true;
			newline = memchr(begin, '\n', (size_t)(stop - begin));
			line.end = newline ? newline : stop;
			has_line = true;
			hits.n = 0;
			hits.is_full = false;
			add_hit(&hits, begin + size, word);
		}
	}
	return !has_line || add_mark(marks, data, line, &hits);
}
