#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"

struct rt_block {
	struct rt_block *next;
	max_align_t data[];
};

void *rt_arena_get(struct rt_arena *a, size_t size)
{
	struct rt_block *b;

	if (size > RT_ARENA_MAX - a->used)
		return NULL;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return NULL;
	a->used += size;
	b->next = a->first;
	a->first = b;
	return b->data;
}

char *rt_arena_text(struct rt_arena *a, const char *text, size_t len)
{
	char *copy = rt_arena_get(a, len + 1);

	return copy ? memcpy(copy, text, len) : NULL;
}

void rt_arena_done(struct rt_arena *a)
{
	while (a->first) {
		struct rt_block *b = a->first;

		a->first = b->next;
		free(b);
	}
	a->used = 0;
}

int rt_tree_bad(const struct rt_tree *at, struct qt_err *e, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return qt_fail(e, QT_E_VALIDATION_ERROR, "line %u: %s", at->line, text);
}

/* --- reading ------------------------------------------------------------------------------------------- */

struct reader {
	yaml_parser_t yaml;
	struct rt_arena *arena;
	struct rt_tree *stack[RT_TREE_DEPTH], *root;
	unsigned depth, nodes;
};

static unsigned line_of(const yaml_event_t *ev)
{
	return ev->start_mark.line < UINT32_MAX ? (unsigned)ev->start_mark.line + 1 : 0;
}

static int bad(const yaml_event_t *ev, const char *what, struct qt_err *e)
{
	return rt_tree_bad(&(struct rt_tree){.line = line_of(ev)}, e, "%s", what);
}

/* A new node, below the one that is open. */
static struct rt_tree *add(struct reader *r, const yaml_event_t *ev, enum rt_tree_kind kind, struct qt_err *e)
{
	struct rt_tree *up = r->depth > 0 ? r->stack[r->depth - 1] : NULL, *t;

	if (!up && r->root)
		return (void)bad(ev, "a second document", e), NULL;
	if (up && up->kind == RT_TREE_MAP && up->n % 2 == 0 && kind != RT_TREE_TEXT)
		return (void)bad(ev, "a key that is not a text", e), NULL;
	t = r->nodes++ < RT_TREE_NODES ? rt_arena_get(r->arena, sizeof(*t)) : NULL;
	if (!t)
		return (void)bad(ev, "there is too much of it", e), NULL;
	t->kind = kind;
	t->line = line_of(ev);
	if (!up) {
		r->root = t;
		return t;
	}
	if (up->last)
		up->last->next = t;
	else
		up->first = t;
	up->last = t;
	up->n++;
	return t;
}

static int open_node(struct reader *r, const yaml_event_t *ev, enum rt_tree_kind kind, struct qt_err *e)
{
	struct rt_tree *t;

	if (r->depth == RT_TREE_DEPTH)
		return bad(ev, "it is nested too deeply", e);
	t = add(r, ev, kind, e);
	if (!t)
		return -1;
	r->stack[r->depth++] = t;
	return 0;
}

static int add_text(struct reader *r, const yaml_event_t *ev, struct qt_err *e)
{
	const char *text = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	struct rt_tree *t;

	if (memchr(text, '\0', len))
		return bad(ev, "a text with a NUL in it", e);
	t = add(r, ev, RT_TREE_TEXT, e);
	if (!t)
		return -1;
	t->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	t->text = rt_arena_text(r->arena, text, len);
	return t->text ? 0 : bad(ev, "there is too much of it", e);
}

/* Anchors and aliases would make of little text much tree; nobody needs them here. */
static bool is_named(const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return ev->data.scalar.anchor || ev->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return ev->data.sequence_start.anchor || ev->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return ev->data.mapping_start.anchor || ev->data.mapping_start.tag;
	default:
		return false;
	}
}

/* 1: the end. */
static int take(struct reader *r, const yaml_event_t *ev, struct qt_err *e)
{
	if (is_named(ev))
		return bad(ev, "anchors, aliases and tags are not taken", e);
	switch (ev->type) {
	case YAML_STREAM_END_EVENT:
		return 1;
	case YAML_SCALAR_EVENT:
		return add_text(r, ev, e);
	case YAML_SEQUENCE_START_EVENT:
		return open_node(r, ev, RT_TREE_LIST, e);
	case YAML_MAPPING_START_EVENT:
		return open_node(r, ev, RT_TREE_MAP, e);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return 0;
	default:
		return 0;
	}
}

static int read_all(struct reader *r, struct qt_err *e)
{
	for (;;) {
		yaml_event_t ev;
		int rc;

		if (!yaml_parser_parse(&r->yaml, &ev))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "line %u: %s",
				       r->yaml.problem_mark.line < UINT32_MAX ? (unsigned)r->yaml.problem_mark.line + 1 : 0,
				       r->yaml.problem ? r->yaml.problem : "it cannot be read");
		rc = take(r, &ev, e);
		yaml_event_delete(&ev);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
}

int rt_tree_parse(struct rt_tree **ret, struct rt_arena *a, const char *text, size_t len, struct qt_err *e)
{
	struct reader r = {.arena = a};
	int rc;

	if (!yaml_parser_initialize(&r.yaml))
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, len);
	rc = read_all(&r, e);
	yaml_parser_delete(&r.yaml);
	if (rc < 0)
		return -1;
	if (!r.root)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "it is empty");
	*ret = r.root;
	return 0;
}

/* --- taking apart -------------------------------------------------------------------------------------- */

static bool is_null(const struct rt_tree *t)
{
	return t->kind == RT_TREE_TEXT && t->plain && (!t->text[0] || qt_streq(t->text, "null") || qt_streq(t->text, "~"));
}

static const struct rt_tree_row *find_row(const struct rt_tree_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (qt_streq(rows[i].name, name))
			return &rows[i];
	return NULL;
}

int rt_tree_members(const struct rt_tree *map, const struct rt_tree_row *rows, size_t n, struct qt_err *e)
{
	static const char *const kinds[] = {"a text", "a list", "a map"};
	uint64_t seen = 0;

	if (map->kind != RT_TREE_MAP)
		return rt_tree_bad(map, e, "not a map");
	for (size_t i = 0; i < n; i++)
		if (rows[i].to)
			*rows[i].to = NULL;
	for (const struct rt_tree *key = map->first; key; key = key->next->next) {
		const struct rt_tree *value = key->next;
		const struct rt_tree_row *row = find_row(rows, n, key->text);
		uint64_t bit = row ? 1ULL << (row - rows) : 0;

		if (!row)
			return rt_tree_bad(key, e, "\"%.60s\" is not known", key->text);
		if (seen & bit)
			return rt_tree_bad(key, e, "\"%s\" is there twice", key->text);
		seen |= bit;
		if (is_null(value))
			continue;
		if (value->kind != row->kind)
			return rt_tree_bad(value, e, "\"%s\" is not %s", key->text, kinds[row->kind]);
		if (row->to)
			*row->to = value;
	}
	for (size_t i = 0; i < n; i++)
		if (rows[i].needed && rows[i].to && !*rows[i].to)
			return rt_tree_bad(map, e, "there is no \"%s\"", rows[i].name);
	return 0;
}
