#include "dockerfile.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "cleanup.h"
#include "str.h"

static const struct {
	const char *name, *flags;
} kinds[QT_DF_COUNT] = {
#define QT_DF(SYM, flags_) {#SYM, flags_},
#include "dockerfile.def"
#undef QT_DF
};

const char *qt_df_name(enum qt_df_kind k)
{
	return (unsigned)k < QT_DF_COUNT ? kinds[k].name : "?";
}

/* --- lines ------------------------------------------------------------------------------------------------ */

struct reader {
	const char *at, *end;
	unsigned line; /* of what comes next */
	struct qt_dockerfile *d;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The next line, without its end. False: there is none. */
static bool next_line(struct reader *r, const char **ret, size_t *ret_len)
{
	const char *nl;

	if (r->at >= r->end)
		return false;
	nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
	*ret = r->at;
	*ret_len = (size_t)((nl ? nl : r->end) - r->at);
	r->at = nl ? nl + 1 : r->end;
	r->line++;
	if (*ret_len > 0 && (*ret)[*ret_len - 1] == '\r')
		--*ret_len;
	return true;
}

static void skip_space(const char **p, size_t *len)
{
	while (*len > 0 && is_space(**p)) {
		++*p;
		--*len;
	}
}

static size_t without_space(const char *p, size_t len)
{
	while (len > 0 && is_space(p[len - 1]))
		len--;
	return len;
}

/* "# escape=`" and the like, at the top. The others are for other programs. */
static bool directive(struct reader *r, const char *p, size_t len, struct qt_err *e)
{
	char name[16], value[16] = "";
	size_t n = 0;

	skip_space(&p, &len);
	if (len == 0 || *p != '#')
		return false;
	p++;
	len--;
	skip_space(&p, &len);
	while (n < len && n < sizeof(name) - 1 && isalpha((unsigned char)p[n]))
		n++;
	(void)qt_fmt(name, sizeof(name), "%.*s", (int)n, p);
	p += n;
	len -= n;
	skip_space(&p, &len);
	if (n == 0 || len == 0 || *p != '=')
		return false;
	p++;
	len--;
	skip_space(&p, &len);
	len = without_space(p, len);
	if (strcasecmp(name, "escape") == 0) {
		(void)qt_fmt(value, sizeof(value), "%.*s", (int)(len < 15 ? len : 15), p);
		if (!qt_streq(value, "\\") && !qt_streq(value, "`"))
			(void)qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: escape is \\ or `", r->line);
		else
			r->d->escape = value[0];
	}
	return true;
}

/* One instruction, its lines joined, into B; *RET_LINE is where it begins. 0: the file has ended. */
static int next_instruction(struct reader *r, struct qt_buf *b, unsigned *ret_line, struct qt_err *e)
{
	const char *p;
	size_t len;
	bool more = true;

	b->len = 0;
	while (more && next_line(r, &p, &len)) {
		const char *q = p;
		size_t left = len, kept;

		skip_space(&q, &left);
		if (left == 0 || *q == '#')
			continue; /* also between the lines of one */
		if (b->len == 0) {
			*ret_line = r->line;
			p = q;
			len = left;
		}
		kept = without_space(p, len);
		more = kept > 0 && p[kept - 1] == r->d->escape;
		if (qt_buf_add(b, p, more ? kept - 1 : len, e) < 0)
			return -1;
		/* An empty one goes on. */
		if (b->len == 0)
			more = true;
	}
	if (b->len == 0)
		return 0;
	b->len = without_space(b->data, b->len);
	b->data[b->len] = '\0';
	return 1;
}

/* --- here-documents --------------------------------------------------------------------------------------- */

/* The word of the <<WORD at P, which is behind the "<<"; *RET_END is behind it. 0: it is something else. */
static size_t here_word(const char *p, const char **ret, const char **ret_end)
{
	char quote = 0;
	size_t n = 0;

	p += *p == '-';
	if (*p == '"' || *p == '\'')
		quote = *p++;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	if (n == 0 || isdigit((unsigned char)*p) || (quote && p[n] != quote))
		return 0;
	*ret = p;
	*ret_end = p + n + (quote != 0);
	return n;
}

/* The lines up to the one that is WORD, into B. */
static int here_body(struct reader *r, const char *word, size_t n, bool tabs, struct qt_buf *b, struct qt_err *e)
{
	unsigned line = r->line;
	const char *p;
	size_t len;

	while (next_line(r, &p, &len)) {
		while (tabs && len > 0 && *p == '\t') {
			p++;
			len--;
		}
		if (len == n && memcmp(p, word, n) == 0)
			return 0;
		if (qt_buf_add(b, p, len, e) < 0 || qt_buf_str(b, "\n", e) < 0)
			return -1;
	}
	return qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: the here-document %.*s does not end", line, (int)(n < 64 ? n : 64), word);
}

/* The shell reads them itself, if their text follows the line; one that is all of the instruction is the script. */
static int here_documents(struct reader *r, struct qt_df_step *s, struct qt_err *e)
{
	auto_buf struct qt_buf all = QT_BUF(QT_DF_BYTES), body = QT_BUF(QT_DF_BYTES);
	bool any = false, whole = false;

	if (s->exec)
		return 0;
	for (const char *p = s->rest; (p = strstr(p, "<<")); p += 2) {
		const char *word, *end;
		size_t n = p[2] == '<' || (p > s->rest && p[-1] == '<') ? 0 : here_word(p + 2, &word, &end);

		if (n == 0)
			continue;
		if (s->kind != QT_DF_RUN)
			return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "line %u: here-documents are taken by RUN only; put the file into the context", s->line);
		if (!any && (qt_buf_str(&all, s->rest, e) < 0 || qt_buf_str(&all, "\n", e) < 0))
			return -1;
		any = true;
		whole = p == s->rest && *end == '\0';
		body.len = 0;
		if (here_body(r, word, n, p[2] == '-', &body, e) < 0 || (body.len > 0 && qt_buf_add(&all, body.data, body.len, e) < 0) ||
		    qt_buf_add(&all, word, n, e) < 0 || qt_buf_str(&all, "\n", e) < 0)
			return -1;
	}
	if (!any)
		return 0;
	if (!whole) {
		free(s->rest);
		s->rest = qt_take(&all.data);
		return 0;
	}
	if (body.len >= 2 && body.data[0] == '#' && body.data[1] == '!')
		return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "line %u: a here-document is run by the shell, not by a program that it names itself", s->line);
	s->script = json_stringn(body.data ? body.data : "", body.len);
	return 0;
}

/* --- instructions ----------------------------------------------------------------------------------------- */

/* 1: FLAG is in LIST; 2: behind a "!". */
static int flag_known(const char *list, const char *flag, size_t n)
{
	for (const char *p = list; *p; p += strcspn(p, " "), p += *p == ' ') {
		size_t no = *p == '!';

		if (strcspn(p, " ") - no == n && memcmp(p + no, flag, n) == 0)
			return no ? 2 : 1;
	}
	return 0;
}

static int take_flags(struct qt_df_step *s, const char **rest, struct qt_err *e)
{
	while (qt_starts(*rest, "--")) {
		const char *p = *rest + 2, *end = p + strcspn(p, " \t");
		size_t n = strcspn(p, "= \t");
		char name[32];
		int known = flag_known(kinds[s->kind].flags, p, n);

		if (known == 0 || n >= sizeof(name))
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: %s has no flag --%.*s", s->line, kinds[s->kind].name, (int)(n < 32 ? n : 32), p);
		if (known == 2)
			return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "line %u: %s --%.*s is not supported", s->line, kinds[s->kind].name, (int)n, p);
		(void)qt_fmt(name, sizeof(name), "%.*s", (int)n, p);
		p += n + (p[n] == '=');
		json_object_set_new(s->flags, name, json_stringn(p, (size_t)(end - p)));
		*rest = end + strspn(end, " \t");
	}
	return 0;
}

static json_t *exec_form(const char *rest)
{
	json_t *v = *rest == '[' ? json_loads(rest, 0, NULL) : NULL, *x;
	size_t i;

	if (!json_is_array(v)) {
		json_decref(v);
		return NULL;
	}
	json_array_foreach(v, i, x)
		if (!json_is_string(x)) {
			json_decref(v);
			return NULL;
		}
	return v;
}

static int read_step(struct reader *r, const char *text, unsigned line, struct qt_df_step *s, struct qt_err *e)
{
	size_t n = strcspn(text, " \t");
	const char *rest = text + n + strspn(text + n, " \t");
	unsigned k = 0;

	while (k < QT_DF_COUNT && (strlen(kinds[k].name) != n || strncasecmp(kinds[k].name, text, n) != 0))
		k++;
	if (k == QT_DF_COUNT)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: there is no instruction \"%.*s\"", line, (int)(n < 32 ? n : 32), text);
	s->kind = (enum qt_df_kind)k;
	s->line = line;
	s->flags = json_object();
	if (take_flags(s, &rest, e) < 0)
		return -1;
	if (!*rest)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: %s takes something", line, kinds[k].name);
	s->exec = exec_form(rest);
	s->rest = strdup(rest);
	if (!s->rest)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	return k == QT_DF_RUN || k == QT_DF_COPY || k == QT_DF_ADD ? here_documents(r, s, e) : 0;
}

static int read_all(struct reader *r, struct qt_err *e)
{
	auto_buf struct qt_buf b = QT_BUF(QT_DF_BYTES);
	struct qt_dockerfile *d = r->d;
	unsigned line = 0;
	int got;

	while ((got = next_instruction(r, &b, &line, e)) > 0) {
		if (d->n == QT_DF_STEPS_MAX)
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: there are more than %d instructions", line, QT_DF_STEPS_MAX);
		d->v[d->n] = (struct qt_df_step){0};
		if (read_step(r, b.data, line, &d->v[d->n++], e) < 0)
			return -1;
	}
	return got;
}

static void directives(struct reader *r, struct qt_err *e)
{
	struct reader ahead = *r;
	const char *p;
	size_t len;

	while (next_line(&ahead, &p, &len) && directive(&ahead, p, len, e))
		*r = ahead;
}

int qt_df_parse(struct qt_dockerfile *ret, const char *text, size_t len, struct qt_err *e)
{
	struct qt_dockerfile d = {.escape = '\\'};
	struct reader r = {.at = text, .end = text + len, .d = &d};

	if (len > QT_DF_BYTES)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "it has more than %u bytes", QT_DF_BYTES);
	if (qt_utf8_span(text, len) != len || memchr(text, '\0', len))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "it is not text in UTF-8");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.at += 3;
	d.v = calloc(QT_DF_STEPS_MAX, sizeof(*d.v));
	if (!d.v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	directives(&r, e);
	if (e->code == QT_OK && read_all(&r, e) == 0 && d.n == 0)
		(void)qt_fail(e, QT_E_DOCKERFILE_INVALID, "it has no instruction");
	if (e->code == QT_OK) {
		*ret = d;
		return 0;
	}
	if (e->code == QT_E_PAYLOAD_TOO_LARGE) {
		qt_err_reset(e);
		(void)qt_fail(e, QT_E_DOCKERFILE_INVALID, "line %u: it is too long", r.line);
	}
	qt_df_done(&d);
	return -1;
}

void qt_df_done(struct qt_dockerfile *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].rest);
		json_decref(d->v[i].flags);
		json_decref(d->v[i].exec);
		json_decref(d->v[i].script);
	}
	free(d->v);
	*d = (struct qt_dockerfile){0};
}

void qt_df_show(const struct qt_df_step *s, char *out, size_t size)
{
	char text[512];

	/* The flags are said again, since they are part of it. */
	(void)qt_copy(text, sizeof(text), kinds[s->kind].name);
	for (void *i = json_object_iter(s->flags); i; i = json_object_iter_next(s->flags, i)) {
		const char *value = json_string_value(json_object_iter_value(i));
		size_t at = strlen(text);

		(void)qt_fmt(text + at, sizeof(text) - at, " --%s%s%.64s", json_object_iter_key(i), *value ? "=" : "", value);
	}
	if (snprintf(out, size, "%s %s", text, s->rest) >= (int)size)
		out[qt_utf8_span(out, size - 1)] = '\0';
	for (char *p = out; *p; p++)
		if (*p == '\n')
			*p = ' ';
}
