#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "idem.h"
#include "log.h"
#include "num.h"
#include "proc.h"
#include "route.h"
#include "str.h"

#define KEY_MAX	     255
#define LOCK_SLACK_S 5 /* on top of the longest that the route may take */

bool qt_idem_for(const struct qt_route *r)
{
	return r->scope == QT_SCOPE_TENANT && !qt_streq(r->method, "GET");
}

static int check_key(const char *key, struct qt_err *e)
{
	size_t len = strlen(key);
	bool ok = len <= KEY_MAX;

	for (size_t i = 0; i < len && ok; i++)
		ok = key[i] > ' ' && key[i] < 0x7f;
	return ok ? 0 : qt_fail_field(e, QT_E_VALIDATION_ERROR, "Idempotency-Key", "1 to 255 visible ASCII characters",
				      "the Idempotency-Key is not acceptable");
}

/* All that makes the request what it is; the tenant is part of the key's place. */
static int digest(char out[65], const struct qt_call *c, const struct qt_in *in, struct qt_err *e)
{
	struct qt_piece v[] = {{in->method, strlen(in->method)},
			       {in->uri, strlen(in->uri)},
			       {in->content_type, strlen(in->content_type)},
			       {in->body, in->body_len},
			       {c->beside, c->beside_len},
			       {NULL, 0}};
	struct stat st = {0};
	void *file = NULL;
	int r;

	if (c->upload >= 0 && fstat(c->upload, &st) < 0)
		return qt_fail_sys(e, errno, "look at an upload");
	if (st.st_size > 0) {
		file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, c->upload, 0);
		if (file == MAP_FAILED)
			return qt_fail_sys(e, errno, "look at an upload");
		v[QT_LEN(v) - 1] = (struct qt_piece){file, (size_t)st.st_size};
	}
	r = qt_sha256(out, v, QT_LEN(v), e);
	if (file)
		(void)munmap(file, (size_t)st.st_size);
	return r;
}

/* Who holds a key: this process, for good. */
static void holder(char ret[QT_IDEM_HOLDER_MAX + 1], const struct qt_conf *conf)
{
	(void)qt_fmt(ret, QT_IDEM_HOLDER_MAX + 1, "%d.%llu.%s", (int)getpid(), (unsigned long long)qt_start_time(getpid()), conf->node);
}

/* Only of a worker of this node can that be known, and what cannot be known is no. */
static bool is_dead(const char *who, const struct qt_conf *conf)
{
	size_t n = strcspn(who, "."), m = who[n] ? strcspn(who + n + 1, ".") : 0;
	char pid_text[16], start_text[24];
	uint64_t start, now;
	uint32_t pid;

	if (!who[n] || !who[n + 1 + m] || !qt_streq(who + n + 1 + m + 1, conf->node) || !qt_fmt(pid_text, sizeof(pid_text), "%.*s", (int)n, who) ||
	    !qt_fmt(start_text, sizeof(start_text), "%.*s", (int)m, who + n + 1) || !qt_u32(&pid, pid_text, 1, INT32_MAX) ||
	    !qt_u64(&start, start_text, 1, UINT64_MAX))
		return false;
	if (kill((pid_t)pid, 0) < 0)
		return errno == ESRCH;
	/* Another process may have its number by now; one that may not be seen has 0. */
	now = qt_start_time((pid_t)pid);
	return now != 0 && now != start;
}

/* A worker that died leaves what it held to whoever asks next. */
static int take(struct qt_call *c, const char *key, const char *request, struct qt_idem *idem, struct qt_err *e)
{
	unsigned lock_s = c->route->budget_ms / 1000 + LOCK_SLACK_S;
	char me[QT_IDEM_HOLDER_MAX + 1], dead[QT_IDEM_HOLDER_MAX + 1];
	int r;

	holder(me, c->life->conf);
	r = qt_store_idem_begin(c->life->store, &c->tenant, key, request, me, "", lock_s, idem, e);
	if (r >= 0 || e->code != QT_E_IDEMPOTENCY_IN_PROGRESS || !is_dead(idem->holder, c->life->conf))
		return r;
	(void)qt_copy(dead, sizeof(dead), idem->holder);
	qt_err_reset(e);
	r = qt_store_idem_begin(c->life->store, &c->tenant, key, request, me, dead, lock_s, idem, e);
	idem->inherited = r == 0;
	return r;
}

int qt_idem_begin(struct qt_call *c, const struct qt_in *in, struct qt_idem *idem, struct qt_out *out, struct qt_err *e)
{
	char request[65];

	memset(idem, 0, sizeof(*idem));
	/* Of a body that is too large nothing was read: the answer is always the same. */
	if (!*in->idempotency_key || !qt_idem_for(c->route) || in->body_too_large)
		return 0;
	if (check_key(in->idempotency_key, e) < 0 || digest(request, c, in, e) < 0)
		return -1;
	switch (take(c, in->idempotency_key, request, idem, e)) {
	case 0:
		return 0;
	case 1:
		out->status = idem->status;
		(void)qt_copy(out->type_text, sizeof(out->type_text), idem->type);
		out->type = out->type_text;
		out->text = idem->text;
		out->len = idem->len;
		out->replayed = true;
		return 1;
	default:
		if (idem->too_large)
			e->hint = "Look at what the request was to change; a new key does it again.";
		return -1;
	}
}

/* What may be otherwise the next time is not kept: the request did nothing, or nobody knows what it did. A conflict may be with what the
 * first try left half done, and goes when the agent has settled that. */
static bool final(const struct qt_idem *idem, int status)
{
	return status < 500 && status != 429 && !(idem->inherited && status == 409);
}

void qt_idem_end(struct qt_call *c, const struct qt_idem *idem, const struct qt_out *out)
{
	struct qt_err e = {0};

	if (qt_store_idem_end(c->life->store, &c->tenant, idem, final(idem, out->status) ? out->status : 0, out->type, out->text ? out->text : "",
			      out->len, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "request_id=%s the answer is not kept for its Idempotency-Key", c->request_id);
}
