/* dockerfile.h - Dockerfiles: read, and nothing more. No I/O; the text is a stranger's. */
#ifndef QT_DOCKERFILE_H
#define QT_DOCKERFILE_H

#include <jansson.h>
#include <stddef.h>

#include "err.h"

#define QT_DF_BYTES	 (256U << 10)
#define QT_DF_STEPS_MAX	 512
#define QT_DF_WORD_BYTES 65536 /* of what an instruction is after its variables were put in */

enum qt_df_kind {
#define QT_DF(SYM, flags) QT_DF_##SYM,
#include "dockerfile.def"
#undef QT_DF
	QT_DF_COUNT
};
const char *qt_df_name(enum qt_df_kind k); /* "RUN" */

struct qt_df_step {
	enum qt_df_kind kind;
	unsigned line;	/* where it begins, counted from 1 */
	char *rest;	/* what stands behind keyword and flags, in one line but for the text of a here-document */
	json_t *flags;	/* object of strings: "chown": "a:b"; one without a value is "" */
	json_t *exec;	/* the array of strings that the rest is; NULL: it is none */
	json_t *script; /* of RUN: the here-document that is the whole of it; NULL: there is none */
};

struct qt_dockerfile {
	char escape; /* '\\' or '`' */
	struct qt_df_step *v;
	size_t n;
};

/* DOCKERFILE_INVALID and BUILD_UNSUPPORTED, with the line. RET is initialised on success. What counts is checked where it is known: variables, order, names. */
int qt_df_parse(struct qt_dockerfile *ret, const char *text, size_t len, struct qt_err *e);
void qt_df_done(struct qt_dockerfile *d);
#define auto_dockerfile QT_AUTO(qt_df_done) /* include cleanup.h */

/* Words in TEXT, with quotes taken away and the variables VARS (object of strings; NULL: none are put in) put in: an array, a new reference. One that is not there is
 * empty. NULL with DOCKERFILE_INVALID. */
json_t *qt_df_words(const char *text, char escape, const json_t *vars, struct qt_err *e);
/* All of TEXT as one word; spaces stay. free(). */
char *qt_df_expand(const char *text, char escape, const json_t *vars, struct qt_err *e);
/* NAME=VALUE …, or, as of old, NAME and the rest: an object of strings, in order. A new reference. */
json_t *qt_df_pairs(const char *text, char escape, const json_t *vars, struct qt_err *e);

/* The file's instruction as history and logs show it: "RUN …", cut to SIZE - 1 bytes. */
void qt_df_show(const struct qt_df_step *s, char *out, size_t size);

#endif
