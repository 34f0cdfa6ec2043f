#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "idem.h"
#include "log.h"
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

int qt_idem_begin(struct qt_call *c, const struct qt_in *in, struct qt_idem *idem, struct qt_out *out, struct qt_err *e)
{
	char request[65];

	memset(idem, 0, sizeof(*idem));
	/* Of a body that is too large nothing was read: the answer is always the same. */
	if (!*in->idempotency_key || !qt_idem_for(c->route) || in->body_too_large)
		return 0;
	if (check_key(in->idempotency_key, e) < 0 || digest(request, c, in, e) < 0)
		return -1;
	switch (qt_store_idem_begin(c->life->store, &c->tenant, in->idempotency_key, request,
				    c->route->budget_ms / 1000 + LOCK_SLACK_S, idem, e)) {
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

/* What may be otherwise the next time is not kept: the request did nothing, or nobody knows what it did. */
static bool final(int status)
{
	return status < 500 && status != 429;
}

void qt_idem_end(struct qt_call *c, const struct qt_idem *idem, const struct qt_out *out)
{
	struct qt_err e = {0};

	if (qt_store_idem_end(c->life->store, &c->tenant, idem, final(out->status) ? out->status : 0, out->type, out->text ? out->text : "",
			      out->len, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "request_id=%s the answer is not kept for its Idempotency-Key", c->request_id);
}
