/* fields.h - a container, field by field: one table makes the runtime's record, the Redis hash, and their readers. */
#ifndef QT_FIELDS_H
#define QT_FIELDS_H

#include <stddef.h>

#include "model.h"

enum qt_ftype {
	QT_FT_ID,    /* struct qt_id; size is not used, prefix is */
	QT_FT_STR,   /* char array */
	QT_FT_STATE, /* enum qt_state */
	QT_FT_U32,
	QT_FT_MS,   /* int64_t, not negative */
	QT_FT_BOOL,
	QT_FT_EXIT, /* exit_code with has_exit_code: "" or a number */
	QT_FT_MAP,  /* json_t *, an object of at most `max` strings */
	QT_FT_LIST, /* json_t *, an array of at most `max` strings */
};

enum {
	QT_CF_REQUIRED = 1 << 0, /* a record without it is none */
	QT_CF_RUN = 1 << 1,	 /* changes with the state: what qt_store_ctr_move() writes */
};

struct qt_cfield {
	const char *name; /* in the Redis hash and in the record */
	enum qt_ftype type;
	unsigned flags;
	size_t off, size;
	size_t max;
	const char *prefix, *doc;
};
extern const struct qt_cfield qt_ctr_fields[];
extern const size_t qt_ctr_field_count;

/* The field of C as text, the form of the Redis hash. free(); NULL only without memory. */
char *qt_ctr_field_text(const struct qt_ctr *c, const struct qt_cfield *f);

/* And back: C is initialised. LEN bytes that nobody vouches for; INTERNAL_ERROR names the field. */
int qt_ctr_field_parse(struct qt_ctr *c, const struct qt_cfield *f, const char *text, size_t len, struct qt_err *e);

/* The row of the LEN bytes at NAME, or NULL. */
const struct qt_cfield *qt_ctr_field_find(const char *name, size_t len);

/* After all fields: is it whole? REQUIRED ones are there. */
int qt_ctr_complete(const struct qt_ctr *c, struct qt_err *e);

/* The JSON map or list of at most MAX strings in the LEN bytes at TEXT; a new reference, or NULL. */
json_t *qt_strings_parse(bool map, size_t max, const char *text, size_t len);

/* Is J an object (MAP) or array of at most MAX strings? */
bool qt_strings_ok(const json_t *j, bool map, size_t max);

#endif
