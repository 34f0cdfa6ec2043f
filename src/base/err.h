/* err.h - what went wrong, for whom, and what the client may be told. */
#ifndef QT_ERR_H
#define QT_ERR_H

#include <stdbool.h>

enum qt_code {
	QT_OK = 0,
#define QT_E(sym, status, show, retry, hint) QT_E_##sym,
#include "errors.def"
#undef QT_E
	QT_CODE_COUNT
};

/* The caller owns a zeroed one on its stack, one per request. Nothing allocates, nothing needs releasing, the first
 * error wins. Messages never hold a path of the host: they are shown to strangers. */
struct qt_err {
	enum qt_code code;
	int sys;	    /* errno of the failing call, 0 if none: for the log */
	char field[96];	    /* JSON pointer of the bad input, "" if none */
	char expected[320]; /* what is accepted there, "; "-separated, "" if none */
	char received[64];  /* what came instead, "" if not told */
	char state[16];	    /* the container's state, for INVALID_STATE */
	char quota[24];	    /* which one, for QUOTA_EXCEEDED, with what it allows and what is taken */
	unsigned long long quota_limit, quota_used;
	char msg[256];
	const char *hint;    /* a literal that replaces the table's, or NULL */
	const char *example; /* a literal: what would be accepted, or NULL */
	int retry_after; /* seconds; 0: as the code's row says */
};

struct qt_err_row {
	const char *name; /* the contract's error_code */
	int status;	  /* HTTP */
	bool show;	  /* may the client see msg? */
	int retry_after;  /* seconds, 0: none */
	const char *hint; /* "" if none */
};

/* The row of CODE; never NULL (an unknown number is INTERNAL_ERROR). */
const struct qt_err_row *qt_err_row(enum qt_code code);
/* The code of that name; QT_OK if there is none. */
enum qt_code qt_err_parse(const char *name);

/* All return -1, so that a caller writes: return qt_fail(e, ...). The first error stays. */
int qt_fail(struct qt_err *e, enum qt_code code, const char *fmt, ...)
	__attribute__((nonnull(1, 3), format(printf, 3, 4)));

/* A system call failed with SYS (an errno, read where it was fresh). ENOSPC and EDQUOT become INSUFFICIENT_STORAGE, the
 * shortage of descriptors, memory or processes UNAVAILABLE; everything else is INTERNAL_ERROR, since ENOENT deep in
 * an image must not become "no such container". */
int qt_fail_sys(struct qt_err *e, int sys, const char *fmt, ...) __attribute__((nonnull(1, 3), format(printf, 3, 4)));

/* A member of the request is wrong: FIELD is its JSON pointer, EXPECTED what is accepted (may be ""). */
int qt_fail_field(struct qt_err *e, enum qt_code code, const char *field, const char *expected, const char *fmt, ...)
	__attribute__((nonnull(1, 3, 4, 5), format(printf, 5, 6)));

/* Put "TEXT: " in front of the message. */
int qt_context(struct qt_err *e, const char *fmt, ...) __attribute__((nonnull, format(printf, 2, 3)));

void qt_err_reset(struct qt_err *e);

#endif
