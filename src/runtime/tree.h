/* tree.h - YAML, and so JSON, as a tree: for configuration that others wrote (CDI). Bounded in size, depth and number; no anchors and no tags. */
#ifndef RT_TREE_H
#define RT_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Memory that goes at once. */
struct rt_arena {
	struct rt_block *first;
	size_t used;
};
#define RT_ARENA_MAX (8U << 20)
void *rt_arena_get(struct rt_arena *a, size_t size); /* zeroed; NULL: none left, or more than RT_ARENA_MAX in all */
char *rt_arena_text(struct rt_arena *a, const char *text, size_t len); /* a copy, with a NUL */
void rt_arena_done(struct rt_arena *a);

enum rt_tree_kind { RT_TREE_TEXT, RT_TREE_LIST, RT_TREE_MAP };

struct rt_tree {
	enum rt_tree_kind kind;
	bool plain;	   /* a text without quotes: may be a number, or null */
	const char *text;  /* of a text: no NUL inside */
	unsigned line;	   /* counted from 1 */
	unsigned n;	   /* children; of a map, key and value count as two */
	struct rt_tree *first, *last, *next;
};
#define RT_TREE_DEPTH 16
#define RT_TREE_NODES 65536U

/* The one document in the LEN bytes at TEXT, in A's memory. VALIDATION_ERROR, the message says the line. */
int rt_tree_parse(struct rt_tree **ret, struct rt_arena *a, const char *text, size_t len, struct qt_err *e);

/* Takes MAP apart: each row of ROWS gets its member, or NULL if that is not there or null. An unknown member, one that is given twice, one of another
 * kind, and one that is needed and not there are errors. */
struct rt_tree_row {
	const char *name;
	enum rt_tree_kind kind;
	bool needed;
	const struct rt_tree **to; /* NULL: may be there, and means nothing here */
};
int rt_tree_members(const struct rt_tree *map, const struct rt_tree_row *rows, size_t n, struct qt_err *e);

/* "line N: " in front of what is said; -1. */
int rt_tree_bad(const struct rt_tree *at, struct qt_err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
