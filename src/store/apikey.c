#include <openssl/evp.h>
#include <string.h>

#include "account.h"
#include "clock.h"
#include "keys.h"
#include "num.h"
#include "rnd.h"
#include "str.h"

#define KEY_PREFIX "quilt_sk_"
#define KEY_MAX	   256 /* bytes that are worth a digest */

#define KEY(m, type, flags, prefix, name, doc) QT_MFIELD(qt_apikey, m, type, flags, 0, prefix, name, doc)

/* clang-format off */
static const struct qt_mfield fields[] = {
	KEY(tenant,     QT_FT_ID,   QT_CF_REQUIRED, "ten", "tenant",     "whose it is"),
	KEY(id,         QT_FT_ID,   QT_CF_REQUIRED, "key", "key_id",     "key_…: what logs and lists show"),
	KEY(name,       QT_FT_STR,  0,              NULL,  "name",       ""),
	KEY(prefix,     QT_FT_STR,  0,              NULL,  "prefix",     "the first characters, to recognise it by"),
	KEY(plan,       QT_FT_STR,  0,              NULL,  "plan",       "the tenant's when the key was made"),
	KEY(sha256,     QT_FT_STR,  0,              NULL,  "sha256",     "as in the name of its key"),
	KEY(created_ms, QT_FT_MS,   0,              NULL,  "created_ms", ""),
	KEY(revoked,    QT_FT_BOOL, 0,              NULL,  "revoked",    "1: it is refused"),
};
/* clang-format on */
const struct qt_mtable qt_apikey_table = {"key", fields, QT_LEN(fields)};

int qt_key_digest(char out[65], const char *key, struct qt_err *e)
{
	unsigned char md[32];
	unsigned n = 0;

	if (EVP_Digest(key, strlen(key), md, &n, EVP_sha256(), NULL) != 1 || n != sizeof(md))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "libcrypto has no SHA-256");
	qt_hex(out, md, sizeof(md));
	return 0;
}

static int read_key(const redisReply *r, struct qt_apikey *ret, struct qt_err *e)
{
	struct qt_apikey k = {0};

	if (qt_reply_fields(r, &qt_apikey_table, &k, e) < 0)
		return -1;
	*ret = k;
	return 0;
}

int qt_store_digest(char out[65], const char *key, struct qt_err *e)
{
	if (key[0] == '\0' || strlen(key) > KEY_MAX)
		return qt_fail(e, QT_E_UNAUTHORIZED, "the API key is not valid");
	return qt_key_digest(out, key, e);
}

int qt_store_auth(struct qt_store *s, const char *key, struct qt_apikey *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	char sha[65];

	if (qt_store_digest(sha, key, e) < 0)
		return -1;
	qt_fcall(&w, "qt_auth", true, "");
	qt_word(&w, sha);
	qt_words_names(&w, &qt_apikey_table);
	r = qt_call(s, &w, 0, e);
	return r ? read_key(r, ret, e) : -1;
}

static int limited(struct qt_store *s, const char *function, const char *slot, const char *who, struct qt_taking *t, struct qt_apikey *ret,
		   unsigned *retry_after_s, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	redisReply rest;
	uint32_t after = 1;

	qt_fcall(&w, function, false, slot);
	qt_word(&w, who);
	qt_word_i64(&w, (int64_t)s->rate_per_second);
	qt_word_i64(&w, (int64_t)s->rate_burst);
	qt_word_i64(&w, t->back);
	qt_word_i64(&w, t->most);
	qt_words_names(&w, &qt_apikey_table);
	r = qt_call(s, &w, 0, e);
	if (!r && e->code == QT_E_RATE_LIMITED) {
		(void)qt_u32(&after, s->rest, 1, 86400);
		*retry_after_s = after;
	}
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->element[0]->type != REDIS_REPLY_INTEGER || r->element[0]->integer < 1 ||
	    r->element[0]->integer > t->most)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "redis: an answer of an unknown shape");
	t->taken = (unsigned)r->element[0]->integer;
	rest = *r; /* borrows */
	rest.element++;
	rest.elements--;
	return read_key(&rest, ret, e);
}

int qt_store_auth_sha(struct qt_store *s, const char sha256[65], struct qt_taking *t, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e)
{
	return limited(s, "qt_auth_limited", qt_key_rate(sha256).s, sha256, t, ret, retry_after_s, e);
}

int qt_store_auth_limited(struct qt_store *s, const char *key, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e)
{
	char sha[65];

	if (qt_store_digest(sha, key, e) < 0)
		return -1;
	return qt_store_auth_sha(s, sha, &(struct qt_taking){.most = 1}, ret, retry_after_s, e);
}

int qt_store_auth_id(struct qt_store *s, const struct qt_id *key, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e)
{
	return limited(s, "qt_auth_id", "", key->s, &(struct qt_taking){.most = 1}, ret, retry_after_s, e);
}

static bool printable(const char *s)
{
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return qt_utf8_span(s, strlen(s)) == strlen(s);
}

int qt_store_key_create(struct qt_store *s, const struct qt_id *tenant, const char *name, char *key_text, struct qt_apikey *ret,
			struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_apikey k = {.id = qt_id_new("key"), .tenant = *tenant, .created_ms = qt_now_ms()};
	char text[sizeof(KEY_PREFIX) + 32], hex[33];
	unsigned char secret[16];

	if (!qt_copy(k.name, sizeof(k.name), name) || !printable(name))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/name", "at most 63 bytes of printable UTF-8", "the key's name is not acceptable");
	qt_rnd(secret, sizeof(secret));
	qt_hex(hex, secret, sizeof(secret));
	(void)qt_fmt(text, sizeof(text), KEY_PREFIX "%s", hex);
	(void)qt_fmt(k.prefix, sizeof(k.prefix), KEY_PREFIX "%.6s", hex);
	if (qt_key_digest(k.sha256, text, e) < 0)
		return -1;
	qt_fcall(&w, "qt_key_create", false, "");
	qt_word(&w, k.sha256);
	qt_word(&w, tenant->s);
	qt_words_fields(&w, &qt_apikey_table, &k, 0);
	r = qt_call(s, &w, 0, e);
	if (!r || qt_reply_text(r, k.plan, sizeof(k.plan), e) < 0)
		return -1;
	memcpy(key_text, text, sizeof(text));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(hex, sizeof(hex));
	explicit_bzero(secret, sizeof(secret));
	*ret = k;
	return 0;
}

int qt_store_key_revoke(struct qt_store *s, const char *key_id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_id id;

	if (!qt_id_parse(&id, "key", key_id))
		return qt_fail(e, QT_E_NOT_FOUND, "there is no such key");
	qt_fcall(&w, "qt_key_revoke", false, "");
	qt_word(&w, id.s);
	return qt_call_ok(s, &w, e);
}

struct each {
	const struct qt_id *tenant;
	void (*fn)(const struct qt_apikey *k, void *arg);
	void *arg;
};

static void one(const void *record, void *arg)
{
	const struct qt_apikey *k = record;
	const struct each *x = arg;

	if (!x->tenant || qt_streq(x->tenant->s, k->tenant.s))
		x->fn(k, x->arg);
}

int qt_store_key_each(struct qt_store *s, const struct qt_id *tenant, void (*fn)(const struct qt_apikey *k, void *arg), void *arg,
		      struct qt_err *e)
{
	struct each x = {tenant, fn, arg};

	return qt_account_each(s, "qt_key_list", &qt_apikey_table, sizeof(struct qt_apikey), one, &x, e);
}
