/* fields.h - records, field by field: one table each makes the runtime's record, the Redis hash, and their readers. */
#ifndef QT_FIELDS_H
#define QT_FIELDS_H

#include <stddef.h>

#include "model.h"

enum qt_ftype {
	QT_FT_ID,    /* struct qt_id; size is not used, prefix is */
	QT_FT_STR,   /* char array */
	QT_FT_STATE, /* enum qt_state */
	QT_FT_U32,
	QT_FT_U64,
	QT_FT_MS,   /* int64_t, not negative */
	QT_FT_BOOL,
	QT_FT_EXIT, /* of a struct qt_ctr, exit_code with has_exit_code: "" or a number */
	QT_FT_MAP,  /* json_t *, an object of at most `max` strings */
	QT_FT_LIST, /* json_t *, an array of at most `max` strings */
	QT_FT_JSON, /* json_t *, any object */
	QT_FT_ITEMS, /* json_t *, an array of at most `max` objects */
	QT_FT_OP_STATUS,
	QT_FT_OP_TYPE,
	QT_FT_WORD, /* an enum whose names are `words`, from 0 on */
};

enum {
	QT_CF_REQUIRED = 1 << 0, /* a record without it is none */
	QT_CF_RUN = 1 << 1,	 /* of a container, what changes with its state; of an operation, what its end tells */
	QT_CF_SPEC = 1 << 2,	 /* of a container, what a copy of it begins with */
};

struct qt_mfield {
	const char *name; /* in the Redis hash and in the record */
	enum qt_ftype type;
	unsigned flags;
	size_t off, size; /* in its struct */
	size_t max;
	const char *prefix, *doc;
	const char *const *words; /* of QT_FT_WORD; NULL-ended */
};

/* A row of the member M of struct S. */
#define QT_MFIELD(S, m, type, flags, max, prefix, name, doc) \
	{name, type, flags, offsetof(struct S, m), sizeof(((struct S *)0)->m), max, prefix, doc, NULL}

/* The same of an enum. */
#define QT_MWORD(S, m, flags, words, name, doc) \
	{name, QT_FT_WORD, flags, offsetof(struct S, m), sizeof(((struct S *)0)->m), 0, NULL, doc, words}

struct qt_mtable {
	const char *what; /* for messages: "container" */
	const struct qt_mfield *v;
	size_t n;
};
extern const struct qt_mtable qt_ctr_table, qt_op_table, qt_vol_table;

/* The field F of the struct at BASE as text, the form of the Redis hash. free(); NULL only without memory. */
char *qt_field_text(const void *base, const struct qt_mfield *f);

/* And back, into an initialised struct. LEN bytes that nobody vouches for; INTERNAL_ERROR names the field. */
int qt_field_parse(void *base, const struct qt_mfield *f, const char *text, size_t len, struct qt_err *e);

/* The row called NAME, or NULL. */
const struct qt_mfield *qt_field_find(const struct qt_mtable *t, const char *name);

/* After all fields: are the REQUIRED ones there? */
int qt_fields_complete(const struct qt_mtable *t, const void *base, struct qt_err *e);

/* Is F one of the JSON types, and the place of its json_t *. */
bool qt_field_is_json(const struct qt_mfield *f);
json_t **qt_field_json(const void *base, const struct qt_mfield *f);

/* May J be its value? */
bool qt_field_fits(const struct qt_mfield *f, const json_t *j);

/* The fields with one of FLAGS (0: all) of the struct at BASE as one JSON object: their names and the form of the Redis hash, save that JSON stays
 * JSON. A new reference; NULL only without memory. */
json_t *qt_fields_json(const struct qt_mtable *t, const void *base, unsigned flags);

/* And back, into an initialised struct: the fields with one of FLAGS; members that the table does not know are another version's, and left
 * aside. INTERNAL_ERROR names the field. */
int qt_fields_take(const struct qt_mtable *t, void *base, const json_t *object, unsigned flags, struct qt_err *e);

/* The fields of the struct at BASE as one JSON text of at most MAX bytes (PAYLOAD_TOO_LARGE): free(). And back, into an initialised struct, which the
 * caller releases also when this fails (INTERNAL_ERROR). Members that no row knows are left aside. */
char *qt_record_dump(const struct qt_mtable *t, const void *base, size_t max, struct qt_err *e);
int qt_record_load(const struct qt_mtable *t, void *base, const char *text, size_t len, size_t max, struct qt_err *e);

/* Is J an object (MAP) or array of at most MAX strings? */
bool qt_strings_ok(const json_t *j, bool map, size_t max);

#endif
