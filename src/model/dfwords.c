/* The words of an instruction: quotes, escapes, variables. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "dockerfile.h"
#include "str.h"

#define NEST_MAX 8 /* of ${a:-${b:-…}} */

struct scan {
	const char *p;
	char escape;
	const json_t *vars;
	struct qt_buf out;
	bool any; /* there is a word, though it may be empty */
	unsigned nest;
};

static int bad(struct qt_err *e, const char *what)
{
	return qt_fail(e, QT_E_DOCKERFILE_INVALID, "%s", what);
}

static size_t name_len(const char *p)
{
	size_t n = 0;

	if (!isalpha((unsigned char)*p) && *p != '_')
		return 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

static const char *value_of(const struct scan *s, const char *name, size_t n)
{
	char text[256];

	if (n >= sizeof(text))
		return NULL;
	memcpy(text, name, n);
	text[n] = '\0';
	return json_string_value(json_object_get(s->vars, text));
}

static int word(struct scan *s, const char *until, bool spaces, struct qt_err *e);

/* Behind "${NAME": what stands up to the "}". */
static int braces(struct scan *s, const char *name, size_t n, struct qt_err *e)
{
	const char *value = value_of(s, name, n);
	bool colon = *s->p == ':', there;
	struct qt_buf kept;
	char op;

	if (*s->p == '}') {
		s->p++;
		return value ? qt_buf_str(&s->out, value, e) : 0;
	}
	s->p += colon;
	op = *s->p;
	if (op != '-' && op != '+' && op != '?')
		return bad(e, "of variables only $name, ${name}, ${name:-word}, ${name:+word} and ${name:?word} are known");
	s->p++;
	there = value && (*value || !colon);
	if (++s->nest > NEST_MAX)
		return bad(e, "variables are too deep in each other");
	kept = s->out;
	s->out = QT_BUF(QT_DF_WORD_BYTES);
	if (word(s, "}", true, e) < 0 || *s->p != '}') {
		qt_buf_done(&kept);
		return bad(e, "a ${ does not end");
	}
	s->p++;
	s->nest--;
	if (op == '?' && !there) {
		(void)qt_fail(e, QT_E_DOCKERFILE_INVALID, "%.*s: %.100s", (int)(n < 64 ? n : 64), name, s->out.data ? s->out.data : "is not set");
		qt_buf_done(&kept);
		return -1;
	}
	{
		struct qt_buf other = s->out;
		int r = 0;

		s->out = kept;
		if (op == '+' ? there : !there)
			r = other.len > 0 ? qt_buf_add(&s->out, other.data, other.len, e) : 0;
		else if (op != '+')
			r = qt_buf_str(&s->out, value, e);
		qt_buf_done(&other);
		return r;
	}
}

static int dollar(struct scan *s, struct qt_err *e)
{
	bool brace = s->p[1] == '{';
	const char *name = s->p + 1 + brace;
	size_t n = name_len(name);
	const char *value;

	if (!s->vars || (n == 0 && !brace)) {
		s->p++;
		return qt_buf_str(&s->out, "$", e);
	}
	if (n == 0)
		return bad(e, "a ${ without a name");
	s->p = name + n;
	if (brace)
		return braces(s, name, n, e);
	value = value_of(s, name, n);
	return value ? qt_buf_str(&s->out, value, e) : 0;
}

static int one_char(struct scan *s, struct qt_err *e)
{
	return qt_buf_add(&s->out, s->p++, 1, e);
}

static int quoted(struct scan *s, struct qt_err *e)
{
	char q = *s->p++;
	int r = 0;

	s->any = true;
	while (r == 0 && *s->p && *s->p != q) {
		if (q == '"' && *s->p == s->escape && (s->p[1] == '"' || s->p[1] == '$' || s->p[1] == s->escape)) {
			s->p++;
			r = one_char(s, e);
		} else if (q == '"' && *s->p == '$') {
			r = dollar(s, e);
		} else {
			r = one_char(s, e);
		}
	}
	if (r == 0 && *s->p != q)
		return bad(e, "a quote does not end");
	s->p++;
	return r;
}

/* Up to a character of UNTIL, or, unless SPACES, a space, or the end. */
static int word(struct scan *s, const char *until, bool spaces, struct qt_err *e)
{
	int r = 0;

	while (r == 0 && *s->p && !strchr(until, *s->p) && (spaces || !strchr(" \t\n", *s->p))) {
		if (*s->p == '\'' || *s->p == '"') {
			r = quoted(s, e);
		} else if (*s->p == s->escape && s->p[1]) {
			s->p++;
			r = one_char(s, e);
		} else if (*s->p == '$') {
			s->any = true;
			r = dollar(s, e);
		} else {
			r = one_char(s, e);
		}
	}
	return r;
}

static int too_long(struct qt_err *e)
{
	if (e->code == QT_E_PAYLOAD_TOO_LARGE) {
		qt_err_reset(e);
		(void)bad(e, "it is too long with its variables put in");
	}
	return -1;
}

json_t *qt_df_words(const char *text, char escape, const json_t *vars, struct qt_err *e)
{
	struct scan s = {.p = text, .escape = escape, .vars = vars, .out = QT_BUF(QT_DF_WORD_BYTES)};
	json_t *words = json_array();
	size_t bytes = 0;
	int r = 0;

	while (r == 0) {
		s.p += strspn(s.p, " \t\n");
		if (!*s.p)
			break;
		s.out.len = 0;
		s.any = false;
		r = word(&s, "", false, e);
		bytes += s.out.len;
		if (r == 0 && bytes > QT_DF_WORD_BYTES)
			r = qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "too long");
		if (r == 0 && (s.out.len > 0 || s.any))
			json_array_append_new(words, json_stringn(s.out.data ? s.out.data : "", s.out.len));
	}
	qt_buf_done(&s.out);
	if (r == 0)
		return words;
	json_decref(words);
	(void)too_long(e);
	return NULL;
}

char *qt_df_expand(const char *text, char escape, const json_t *vars, struct qt_err *e)
{
	struct scan s = {.p = text, .escape = escape, .vars = vars, .out = QT_BUF(QT_DF_WORD_BYTES)};

	if (word(&s, "", true, e) == 0 && (s.out.data || qt_buf_str(&s.out, "", e) == 0)) {
		char *out = s.out.data ? s.out.data : strdup("");

		if (!out)
			(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		return out;
	}
	qt_buf_done(&s.out);
	(void)too_long(e);
	return NULL;
}

static json_t *old_pair(const char *text, char escape, const json_t *vars, struct qt_err *e)
{
	size_t n = strcspn(text, " \t");
	const char *rest = text + n + strspn(text + n, " \t");
	auto_free char *value = NULL;
	char name[256];

	if (!*rest || n >= sizeof(name))
		return (void)bad(e, "it takes NAME=VALUE"), NULL;
	(void)qt_fmt(name, sizeof(name), "%.*s", (int)n, text);
	value = qt_df_expand(rest, escape, vars, e);
	return value ? json_pack("{s:s}", name, value) : NULL;
}

json_t *qt_df_pairs(const char *text, char escape, const json_t *vars, struct qt_err *e)
{
	json_t *words, *pairs, *w;
	size_t n = strcspn(text, "= \t\"'"), i;

	if (text[n] != '=' && text[n] != '"' && text[n] != '\'')
		return old_pair(text, escape, vars, e);
	words = qt_df_words(text, escape, vars, e);
	if (!words)
		return NULL;
	pairs = json_object();
	json_array_foreach(words, i, w) {
		const char *t = json_string_value(w), *eq = strchr(t, '=');
		char name[256];

		if (!eq || eq == t || (size_t)(eq - t) >= sizeof(name)) {
			json_decref(words);
			json_decref(pairs);
			return (void)bad(e, "it takes NAME=VALUE"), NULL;
		}
		(void)qt_fmt(name, sizeof(name), "%.*s", (int)(eq - t), t);
		json_object_set_new(pairs, name, json_string(eq + 1));
	}
	json_decref(words);
	return pairs;
}
