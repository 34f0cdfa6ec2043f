#include <string.h>

#include "pack.h"
#include "str.h"

/* Past the class that begins at P, behind its bracket; NULL: it does not end. *RET: C is in it. */
static const char *class(const char *p, unsigned char c, bool *ret)
{
	bool not = *p == '^' || *p == '!', in = false;
	const char *first = p += not;

	for (; *p && (*p != ']' || p == first); p++) {
		unsigned char from, to;

		if (*p == '\\' && p[1])
			p++;
		from = to = (unsigned char)*p;
		if (p[1] == '-' && p[2] && p[2] != ']') {
			p += 2;
			if (*p == '\\' && p[1])
				p++;
			to = (unsigned char)*p;
		}
		in = in || (from <= c && c <= to);
	}
	*ret = in != not;
	return *p ? p + 1 : NULL;
}

/* Past what fits the one character C; NULL: nothing does. */
static const char *one(const char *p, unsigned char c)
{
	bool in = false;

	if (*p == '?')
		return p + 1;
	if (*p == '[') {
		p = class(p + 1, c, &in);
		return p && in ? p : NULL;
	}
	if (*p == '\\' && p[1])
		p++;
	return (unsigned char)*p == c ? p + 1 : NULL;
}

/* Going back to the last star only is enough, and keeps it from taking exponential time. */
bool ft_glob(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		const char *next = *pattern && *pattern != '*' ? one(pattern, (unsigned char)*name) : NULL;

		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (next) {
			pattern = next;
			name++;
		} else if (star) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool ft_glob_any(const char *pattern)
{
	return strpbrk(pattern, "*?[\\") != NULL;
}

/* --- paths ------------------------------------------------------------------------------------------------ */

struct parts {
	char text[FT_PATH_MAX];
	const char *v[FT_DEPTH_MAX];
	size_t n;
};

/* False: too long, or too deep, to fit anything. */
static bool split(struct parts *ret, const char *path)
{
	char *save = NULL;

	ret->n = 0;
	if (!qt_copy(ret->text, sizeof(ret->text), path))
		return false;
	for (char *p = strtok_r(ret->text, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (qt_streq(p, "."))
			continue;
		if (ret->n == FT_DEPTH_MAX)
			return false;
		ret->v[ret->n++] = p;
	}
	return true;
}

/* Does LINE fit PATH or a directory above it? fits[i]: so much of the pattern fits the first i components. */
static bool fits(const struct parts *line, const struct parts *path)
{
	bool now[FT_DEPTH_MAX + 1] = {true};

	for (size_t k = 0; k < line->n; k++) {
		bool any = qt_streq(line->v[k], "**"), next[FT_DEPTH_MAX + 1] = {false};

		for (size_t i = 0; i <= path->n; i++)
			next[i] = any ? now[i] || (i > 0 && next[i - 1]) : i > 0 && now[i - 1] && ft_glob(line->v[k], path->v[i - 1]);
		memcpy(now, next, sizeof(now));
	}
	for (size_t i = 1; i <= path->n; i++)
		if (now[i])
			return true;
	return false;
}

bool ft_ignored(const struct rt_strv *lines, const char *path)
{
	static struct parts line, of;
	const char *p = NULL;
	bool out = false;

	if (lines->n == 0 || !split(&of, path))
		return false;
	while ((p = rt_strv_next(lines, p))) {
		bool in = *p == '!';

		if (in == out && split(&line, p + in) && line.n > 0 && fits(&line, &of))
			out = !in;
	}
	return out;
}
