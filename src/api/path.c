#include <string.h>

#include "path.h"
#include "str.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode in place; the result is never longer. */
static int decode(char *s, bool plus, struct qt_err *e)
{
	char *out = s, *begin = s;

	for (; *s; s++) {
		char c = *s;

		if (c == '%') {
			int a = hex(s[1]), b = a < 0 ? -1 : hex(s[2]);

			if (b < 0)
				return qt_fail(e, QT_E_BAD_REQUEST, "a %% in the URL is not followed by two hexadecimal digits");
			c = (char)(a * 16 + b);
			s += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return qt_fail(e, QT_E_BAD_REQUEST, "a control character in the URL");
		*out++ = c;
	}
	*out = '\0';
	if (qt_utf8_span(begin, strlen(begin)) != strlen(begin))
		return qt_fail(e, QT_E_BAD_REQUEST, "the URL is not UTF-8");
	return 0;
}

static const char index_page[] = "index.html";

static int parse_query(struct qt_uri *u, char *q, struct qt_err *e)
{
	while (q && *q) {
		char *next = strchr(q, '&'), *eq;

		if (next)
			*next++ = '\0';
		if (*q) {
			if (u->n_query == QT_QUERY_MAX)
				return qt_fail(e, QT_E_BAD_REQUEST, "more than %d query parameters", QT_QUERY_MAX);
			eq = strchr(q, '=');
			if (eq)
				*eq++ = '\0';
			else
				eq = q + strlen(q);
			if (decode(q, true, e) < 0 || decode(eq, true, e) < 0)
				return -1;
			u->query[u->n_query++] = (struct qt_pair){q, eq};
		}
		q = next;
	}
	return 0;
}

int qt_uri_parse(struct qt_uri *ret, const char *raw, struct qt_err *e)
{
	char *p = ret->text, *query;
	unsigned n = 0;

	ret->n_query = 0;
	ret->segments[0] = NULL;
	if (!qt_copy(ret->text, sizeof(ret->text), raw))
		return qt_fail(e, QT_E_URI_TOO_LONG, "the URL has more than %d bytes", QT_URI_MAX - 1);
	if (*p != '/' || strchr(p, '#'))
		return qt_fail(e, QT_E_BAD_REQUEST, "the URL is not a path");
	query = strchr(p, '?');
	if (query)
		*query++ = '\0';
	while (p) {
		char *next = strchr(++p, '/');

		if (next)
			*next = '\0';
		if (n == QT_SEGMENTS_MAX)
			return qt_fail(e, QT_E_BAD_REQUEST, "the path has more than %d segments", QT_SEGMENTS_MAX);
		if (decode(p, false, e) < 0)
			return -1;
		/* A page has what belongs to it beside itself only if its path ends so. */
		if (*p == '\0' && !next && n == 2 && qt_streq(ret->segments[0], "gui"))
			p = (char *)index_page;
		if (*p == '\0' || qt_streq(p, ".") || qt_streq(p, ".."))
			return qt_fail(e, QT_E_BAD_REQUEST, "an empty, \".\" or \"..\" segment in the path");
		ret->segments[n++] = p;
		ret->segments[n] = NULL;
		p = next;
	}
	return parse_query(ret, query, e);
}
