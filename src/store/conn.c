#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "conn.h"
#include "fdio.h"
#include "log.h"
#include "str.h"

#define TIMEOUT_MS 2000

static struct timeval span(int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

static void drop(struct qt_store *s)
{
	if (s->ctx)
		redisFree(s->ctx);
	s->ctx = NULL;
	s->owed = false;
}

int qt_store_new(struct qt_store **ret, const struct qt_conf *conf, struct qt_err *e)
{
	struct qt_store *s = calloc(1, sizeof(*s));

	if (!s)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(s->socket, conf->redis_socket, sizeof(s->socket));
	memcpy(s->secret_file, conf->redis_secret_file, sizeof(s->secret_file));
	s->rate_per_second = conf->rate_per_second;
	s->rate_burst = conf->rate_burst;
	s->operation_keep_s = conf->operation_keep_s;
	*ret = s;
	return 0;
}

void qt_store_free(struct qt_store *s)
{
	if (!s)
		return;
	/* A child that came by the parent's connection closes its copy of the descriptor, and says nothing. */
	drop(s);
	free(s);
}

/* --- words -------------------------------------------------------------------------------------------- */

void qt_words_done(struct qt_words *w)
{
	for (int i = 0; i < w->n_own; i++)
		free(w->own[i]);
}

void qt_word_n(struct qt_words *w, const char *data, size_t len)
{
	if (w->n == QT_WORDS_MAX) {
		w->bad = true;
		return;
	}
	w->v[w->n] = data;
	w->len[w->n++] = len;
}

void qt_word(struct qt_words *w, const char *text)
{
	qt_word_n(w, text, strlen(text));
}

void qt_word_own(struct qt_words *w, char *text)
{
	if (!text || w->n_own == QT_WORDS_MAX) {
		w->bad = true;
		free(text);
		return;
	}
	w->own[w->n_own++] = text;
	qt_word(w, text);
}

void qt_word_i64(struct qt_words *w, int64_t n)
{
	char *text = NULL;

	qt_word_own(w, asprintf(&text, "%" PRIi64, n) < 0 ? NULL : text);
}

void qt_fcall(struct qt_words *w, const char *function, bool ro, const char *key)
{
	qt_word(w, ro ? "FCALL_RO" : "FCALL");
	qt_word(w, function);
	qt_word(w, *key ? "1" : "0");
	if (*key)
		qt_word_own(w, strdup(key));
}

void qt_words_names(struct qt_words *w, const struct qt_mtable *t)
{
	for (size_t i = 0; i < t->n; i++)
		qt_word(w, t->v[i].name);
}

void qt_words_fields(struct qt_words *w, const struct qt_mtable *t, const void *base, unsigned flags)
{
	for (size_t i = 0; i < t->n; i++) {
		if (flags && !(t->v[i].flags & flags))
			continue;
		qt_word(w, t->v[i].name);
		qt_word_own(w, qt_field_text(base, &t->v[i]));
	}
}

/* --- the connection ----------------------------------------------------------------------------------- */

/* "user:password" of the secret file, and AUTH with them. */
static int log_in(struct qt_store *s, struct qt_err *e)
{
	char secret[512];
	const char *argv[3] = {"AUTH", secret, NULL};
	size_t lens[3] = {4, 0, 0};
	auto_reply redisReply *r = NULL;
	char *colon;

	if (s->secret_file[0] == '\0')
		return 0;
	if (qt_read_file(AT_FDCWD, s->secret_file, secret, sizeof(secret), e) < 0)
		return qt_context(e, "the secret for Redis");
	secret[strcspn(secret, "\r\n")] = '\0';
	colon = strchr(secret, ':');
	if (!colon)
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "the secret for Redis is not of the form user:password");
	argv[2] = colon + 1;
	lens[1] = (size_t)(colon - secret);
	lens[2] = strlen(colon + 1);
	r = redisCommandArgv(s->ctx, 3, argv, lens);
	explicit_bzero(secret, sizeof(secret));
	if (r && r->type == REDIS_REPLY_ERROR)
		return qt_reply_error(s, r->str, r->len, e);
	return r && r->type == REDIS_REPLY_STATUS ? 0 : qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis: %s", s->ctx->errstr);
}

static int dial(struct qt_store *s, struct qt_err *e)
{
	struct qt_err why = {0};

	s->ctx = redisConnectUnixWithTimeout(s->socket, span(TIMEOUT_MS));
	if (!s->ctx)
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "out of memory");
	if (s->ctx->err || redisSetTimeout(s->ctx, span(TIMEOUT_MS)) != REDIS_OK) {
		(void)qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis: %s", s->ctx->errstr);
		drop(s);
		return -1;
	}
	/* hiredis 0.14 does not say so of Unix sockets, and a container's process must not inherit it. */
	(void)fcntl(s->ctx->fd, F_SETFD, FD_CLOEXEC);
	s->pid = getpid();
	if (log_in(s, &why) < 0) {
		drop(s);
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "%s", why.msg);
	}
	return 0;
}

/* An idle connection that Redis closed, or that says something nobody asked for, is found out before a command goes into it: nothing is
 * ever sent twice, and a restarted Redis costs no request. */
static bool stale(const struct qt_store *s)
{
	struct pollfd p = {.fd = s->ctx->fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

static int lost(struct qt_store *s, struct qt_err *e)
{
	(void)qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis: %s", s->ctx->err ? s->ctx->errstr : "no reply");
	drop(s);
	return -1;
}

int qt_store_settle(struct qt_store *s, struct qt_err *e)
{
	auto_reply redisReply *r = NULL;
	void *reply = NULL;

	if (!s->owed)
		return 0;
	s->owed = false;
	if (redisGetReply(s->ctx, &reply) != REDIS_OK)
		return lost(s, e);
	r = reply;
	return r->type == REDIS_REPLY_ERROR ? qt_reply_error(s, r->str, r->len, e) : 0;
}

static int connect_if_needed(struct qt_store *s, struct qt_err *e)
{
	struct qt_err late = {0};

	if (s->ctx && s->pid != getpid())
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a connection to Redis was used across a fork");
	if (qt_store_settle(s, &late) < 0)
		qt_log_err(QT_LOG_WARN, &late, "a record that nobody waited for is lost");
	if (s->ctx && stale(s))
		drop(s);
	return s->ctx ? 0 : dial(s, e);
}

static int begin(struct qt_store *s, const struct qt_words *w, struct qt_err *e)
{
	if (w->bad)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a command for Redis has too many words, or there is no memory for it");
	return connect_if_needed(s, e);
}

int qt_post(struct qt_store *s, struct qt_words *w, struct qt_err *e)
{
	int done = 0;

	if (begin(s, w, e) < 0)
		return -1;
	if (redisAppendCommandArgv(s->ctx, w->n, w->v, w->len) != REDIS_OK)
		return lost(s, e);
	while (!done)
		if (redisBufferWrite(s->ctx, &done) != REDIS_OK)
			return lost(s, e);
	s->owed = true;
	return 0;
}

redisReply *qt_call(struct qt_store *s, struct qt_words *w, int wait_ms, struct qt_err *e)
{
	auto_reply redisReply *r = NULL;

	if (begin(s, w, e) < 0)
		return NULL;
	if (wait_ms > 0)
		(void)redisSetTimeout(s->ctx, span(wait_ms + TIMEOUT_MS));
	r = redisCommandArgv(s->ctx, w->n, w->v, w->len);
	if (!r) {
		(void)lost(s, e);
		return NULL;
	}
	if (wait_ms > 0)
		(void)redisSetTimeout(s->ctx, span(TIMEOUT_MS));
	if (r->type == REDIS_REPLY_ERROR) {
		(void)qt_reply_error(s, r->str, r->len, e);
		return NULL;
	}
	return qt_take(&r);
}

int qt_call_ok(struct qt_store *s, struct qt_words *w, struct qt_err *e)
{
	auto_reply redisReply *r = qt_call(s, w, 0, e);

	return r ? 0 : -1;
}

int qt_store_ping(struct qt_store *s, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_word(&w, "PING");
	return qt_call_ok(s, &w, e);
}

/* --- replies ------------------------------------------------------------------------------------------ */

int qt_reply_bad(struct qt_err *e)
{
	return qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis answered in a form that was not expected");
}

int qt_reply_text(const redisReply *r, char *out, size_t size, struct qt_err *e)
{
	if (!r || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS) || r->len >= size ||
	    memchr(r->str, '\0', r->len))
		return qt_reply_bad(e);
	memcpy(out, r->str, r->len);
	out[r->len] = '\0';
	return 0;
}

int qt_reply_fields(const redisReply *r, const struct qt_mtable *t, void *base, struct qt_err *e)
{
	if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != t->n)
		return qt_reply_bad(e);
	for (size_t i = 0; i < t->n; i++) {
		const redisReply *v = r->element[i];

		if (v->type == REDIS_REPLY_NIL)
			continue;
		if (v->type != REDIS_REPLY_STRING)
			return qt_reply_bad(e);
		if (qt_field_parse(base, &t->v[i], v->str, v->len, e) < 0)
			return -1;
	}
	return qt_fields_complete(t, base, e);
}
