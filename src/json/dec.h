/* dec.h - JSON requests: one row a member, which decodes, bounds, and documents it (OpenAPI), into a struct that owns nothing but
 * borrowed JSON. */
#ifndef QT_DEC_H
#define QT_DEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "err.h"

static inline void qt_json_decrefp(json_t **j)
{
	json_decref(*j);
}
#define auto_json QT_AUTO(qt_json_decrefp)

enum qt_kind {
	QT_K_STR,    /* char array in the struct; min and max in bytes (max from the array) */
	QT_K_U64,    /* uint64_t; an integer from min to max */
	QT_K_I64,    /* int64_t; min and max as (int64_t) */
	QT_K_NUM,    /* double; a number, integer or not, from dmin (exclusive) to dmax */
	QT_K_BOOL,   /* bool */
	QT_K_STRV,   /* const json_t *: array of at least min, at most max strings; size, if not 0, bounds the bytes of all with a NUL each */
	QT_K_MAP,    /* const json_t *: object of string values, at most max members; size bounds the bytes likewise */
	QT_K_LIST,   /* const json_t *: array of objects, each of rows `sub`, checked, not decoded */
	QT_K_ENUM,   /* const char *: one of the NULL-ended `words`; the literal of the table */
	QT_K_TEXT,   /* const json_t *: a string of any length that the body may have; its content is the handler's matter */
	QT_K_IGNORE, /* accepted, whatever it is, since real clients send it; no member in the struct */
	QT_K_REFUSE, /* known, and refused with VALIDATION_ERROR and the row's `hint` (mounts, async_mode) unless null */
};

enum {
	QT_F_REQUIRED = 1 << 0,
	QT_F_NULL = 1 << 1,	/* null is taken as absent */
	QT_F_NULL_VALUES = 1 << 2, /* MAP: a value may be null (PATCH env: remove) */
	QT_F_BAD_IS_400 = 1 << 3, /* a wrong type is VALIDATION_ERROR (400) too: the GPU fields */
};

struct qt_field {
	const char *name;
	enum qt_kind kind;
	unsigned flags;
	size_t off, size; /* of the member */
	uint64_t min, max;
	double dmin, dmax;
	/* A further check of a string, or of each string of a STRV, or of a MAP's name and value; sets E. */
	int (*check)(const char *field, const char *name, const char *value, struct qt_err *e);
	const char *const *words;
	const struct qt_field *sub;
	const char *alias; /* another name for the same member; the first one wins when both are there */
	const char *hint, *example, *doc;
};

/* The end of a table has name NULL. */

/* Decode the object ROOT by ROWS into RET (zeroed first). Defaults are the caller's: it sets them in RET before by way of DEFAULTS, a
 * struct of the same type, or NULL. *SEEN gets bit i for row i when the member was there and not null. Errors: unknown member, wrong type
 * or missing: UNPROCESSABLE_ENTITY; a value out of bounds: VALIDATION_ERROR; both with the member's JSON pointer, what is
 * expected and what came. Strings hold no NUL; control characters are refused unless the check allows. */
int qt_decode(const json_t *root, const struct qt_field *rows, void *ret, size_t size, const void *defaults, uint64_t *seen,
	      struct qt_err *e);

/* Parse the LEN bytes of a request body: an object (an empty body is {} when EMPTY_OK), no duplicate members, at most QT_JSON_DEPTH
 * deep, no trailing bytes, valid UTF-8. The caller's reference, or NULL with BAD_REQUEST (not JSON) or UNPROCESSABLE_ENTITY (JSON, not an
 * object). */
json_t *qt_json_parse(const char *text, size_t len, bool empty_ok, struct qt_err *e);
#define QT_JSON_DEPTH 32

/* "object", "string" … : what a client sent, for details.received. */
const char *qt_json_kind(const json_t *j);

/* The OpenAPI schema of ROWS. A new reference. */
json_t *qt_schema(const struct qt_field *rows);

#endif
