#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "keys.h"
#include "num.h"
#include "rnd.h"
#include "str.h"

int qt_sha256(char out[65], const struct qt_piece *v, size_t n, struct qt_err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char md[32];
	unsigned len = 0;
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < n && ok; i++) {
		uint64_t size = v[i].len;

		ok = EVP_DigestUpdate(ctx, &size, sizeof(size)) == 1 && (size == 0 || EVP_DigestUpdate(ctx, v[i].data, size) == 1);
	}
	ok = ok && EVP_DigestFinal_ex(ctx, md, &len) == 1 && len == sizeof(md);
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "libcrypto has no SHA-256");
	qt_hex(out, md, sizeof(md));
	return 0;
}

static int read_answer(const redisReply *r, struct qt_idem *ret, struct qt_err *e)
{
	char status[8];
	int64_t n;

	if (qt_reply_text(r->element[0], status, sizeof(status), e) < 0 ||
	    qt_reply_text(r->element[1], ret->type, sizeof(ret->type), e) < 0)
		return -1;
	if (!qt_i64(&n, status, 100, 599) || r->element[2]->type != REDIS_REPLY_STRING || r->element[2]->len > QT_IDEM_TEXT_MAX)
		return qt_reply_bad(e);
	ret->status = (int)n;
	ret->len = r->element[2]->len;
	ret->text = malloc(ret->len + 1);
	if (!ret->text)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(ret->text, r->element[2]->str, ret->len);
	ret->text[ret->len] = '\0';
	return 1;
}

int qt_store_idem_begin(struct qt_store *s, const struct qt_id *tenant, const char *key, const char *request, const char *holder,
			const char *dead, unsigned lock_s, struct qt_idem *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id token = qt_id_new("idem");

	memset(ret, 0, sizeof(*ret));
	if (qt_sha256(ret->key, &(struct qt_piece){key, strlen(key)}, 1, e) < 0)
		return -1;
	qt_fcall(&w, "qt_idem_begin", false, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, ret->key);
	qt_word(&w, request);
	qt_word(&w, token.s);
	qt_word_i64(&w, lock_s);
	qt_word(&w, holder);
	qt_word(&w, dead);
	s->word[0] = '\0';
	r = qt_call(s, &w, 0, e);
	ret->too_large = !r && qt_streq(s->word, "QT_IDEM_LARGE");
	if (!r && e->code == QT_E_IDEMPOTENCY_IN_PROGRESS)
		(void)qt_copy(ret->holder, sizeof(ret->holder), s->rest);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || (r->elements != 0 && r->elements != 3))
		return qt_reply_bad(e);
	if (r->elements == 3)
		return read_answer(r, ret, e);
	ret->token = token;
	return 0;
}

int qt_store_idem_end(struct qt_store *s, const struct qt_id *tenant, const struct qt_idem *i, int status, const char *type,
		      const char *text, size_t len, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_fcall(&w, "qt_idem_end", false, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, i->key);
	qt_word(&w, i->token.s);
	qt_word_i64(&w, (int64_t)s->operation_keep_s);
	qt_word_i64(&w, status);
	qt_word(&w, type);
	if (len <= QT_IDEM_TEXT_MAX)
		qt_word_n(&w, text, len);
	return qt_call_ok(s, &w, e);
}
