/* conn.h - one connection to Redis, and commands whose words are never put into a format. Private to src/store. */
#ifndef QT_CONN_H
#define QT_CONN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cleanup.h"
#include "conf.h"
#include "fields.h"
#include "store.h"

struct qt_store {
	redisContext *ctx; /* NULL: not connected */
	pid_t pid;	   /* that opened it */
	bool owed;	   /* the reply to what qt_post() sent is not read yet */
	char socket[108], secret_file[256];
	uint64_t rate_per_second, rate_burst, operation_keep_s;
	char word[24], rest[64]; /* of the last error reply: its word, and what followed */
	int64_t claimed_at;	/* when qt_store_op_next() last looked for abandoned entries, monotonic */
};

/* A command: words are borrowed unless _own or a number made them. A word too many, or no memory, makes the whole unusable, which
 * qt_call() reports. */
#define QT_WORDS_MAX 160
struct qt_words {
	const char *v[QT_WORDS_MAX];
	size_t len[QT_WORDS_MAX];
	char *own[QT_WORDS_MAX];
	int n, n_own;
	bool bad;
};
#define auto_words QT_AUTO(qt_words_done)
void qt_words_done(struct qt_words *w);
void qt_word(struct qt_words *w, const char *text);
void qt_word_n(struct qt_words *w, const char *data, size_t len);
void qt_word_own(struct qt_words *w, char *text); /* NULL: no memory */
void qt_word_i64(struct qt_words *w, int64_t n);

/* FCALL (FCALL_RO if RO) FUNCTION; KEY decides the slot in a cluster, "" if there is none that could. */
void qt_fcall(struct qt_words *w, const char *function, bool ro, const char *key);

/* The names of T's fields; and name and value of those of BASE that have one of FLAGS (0: all). */
void qt_words_names(struct qt_words *w, const struct qt_mtable *t);
void qt_words_fields(struct qt_words *w, const struct qt_mtable *t, const void *base, unsigned flags);

static inline void qt_replyp(redisReply **r)
{
	if (*r)
		freeReplyObject(*r);
}
#define auto_reply QT_AUTO(qt_replyp)

/* One round trip; the caller's reply, never an error reply. NULL with E: the error reply by the table in errors.c (s->word and s->rest
 * then have it), or STORE_UNAVAILABLE and the connection is gone. WAIT_MS is on top of the time that any command has, for one that blocks. */
redisReply *qt_call(struct qt_store *s, struct qt_words *w, int wait_ms, struct qt_err *e);

/* The same for a function that says OK. */
int qt_call_ok(struct qt_store *s, struct qt_words *w, struct qt_err *e);

/* Sent, no more: whoever uses the connection next, or qt_store_settle(), reads the reply. A failure to send is told now. */
int qt_post(struct qt_store *s, struct qt_words *w, struct qt_err *e);

/* Text as it came: NUL bytes and replies that are none are refused. OUT has SIZE bytes. */
int qt_reply_text(const redisReply *r, char *out, size_t size, struct qt_err *e);

/* The values of T's fields, in its order, into the initialised struct at BASE; nil leaves the field as it is. */
int qt_reply_fields(const redisReply *r, const struct qt_mtable *t, void *base, struct qt_err *e);

/* op.c: the values of an operation into RET, initialised here on success. */
int qt_reply_op(const redisReply *r, struct qt_op *ret, struct qt_err *e);

/* The reply has not the shape that the function promises: somebody else answered. */
int qt_reply_bad(struct qt_err *e);

/* errors.c: an error reply into E. */
int qt_reply_error(struct qt_store *s, const char *text, size_t len, struct qt_err *e);

#endif
