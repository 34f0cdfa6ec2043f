#include "gui_pass.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "clock.h"
#include "fdio.h"
#include "num.h"
#include "rnd.h"
#include "str.h"

#define SECRET_MIN  32
#define SECRET_MAX  256
#define COOKIES_MAX 4 /* that are tried: a browser has one for the path, and its parents */

/* Read each time: so it can be replaced without a restart, and lies in nobody's memory. */
static int mac_of(char out[65], const struct qt_conf *conf, const char *text, struct qt_err *e)
{
	char secret[SECRET_MAX];
	unsigned char md[32];
	unsigned n = 0;
	ssize_t len = qt_read_file(AT_FDCWD, conf->gui_secret_file, secret, sizeof(secret), e);
	bool ok;

	if (len < 0)
		return qt_context(e, "gui_secret_file");
	if (len < SECRET_MIN)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "gui_secret_file has fewer than %d bytes", SECRET_MIN);
	ok = HMAC(EVP_sha256(), secret, (int)len, (const unsigned char *)text, strlen(text), md, &n) && n == sizeof(md);
	explicit_bzero(secret, sizeof(secret));
	if (!ok)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "libcrypto has no HMAC-SHA256");
	qt_hex(out, md, sizeof(md));
	return 0;
}

/* What is signed. The container is not told in the pass: the URL says it. */
static int sign(char mac[65], const struct qt_conf *conf, enum qt_gui_kind kind, const struct qt_id *container, const struct qt_gui_pass *p,
		struct qt_err *e)
{
	char text[256];

	if (!qt_fmt(text, sizeof(text), "quilt-gui-1 %c %lld %s %s %s", (char)kind, (long long)p->until_s, p->tenant.s, p->key.s, container->s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a pass is too long");
	return mac_of(mac, conf, text, e);
}

int qt_gui_sign(char ret[QT_GUI_PASS_MAX], const struct qt_conf *conf, enum qt_gui_kind kind, const struct qt_id *container,
		const struct qt_gui_pass *p, struct qt_err *e)
{
	char mac[65];

	if (sign(mac, conf, kind, container, p, e) < 0)
		return -1;
	if (!qt_fmt(ret, QT_GUI_PASS_MAX, "%lld.%s.%s.%s", (long long)p->until_s, p->tenant.s, p->key.s, mac))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a pass is too long");
	return 0;
}

static int refused(struct qt_err *e)
{
	return qt_fail(e, QT_E_UNAUTHORIZED, "the link to the desktop is not valid, or its time is over");
}

int qt_gui_verify(struct qt_gui_pass *ret, const struct qt_conf *conf, enum qt_gui_kind kind, const struct qt_id *container, const char *text,
		  int64_t now_s, struct qt_err *e)
{
	char copy[QT_GUI_PASS_MAX], mac[65], *part[4], *save = NULL;
	struct qt_gui_pass p = {0};
	uint64_t until;

	if (!qt_copy(copy, sizeof(copy), text))
		return refused(e);
	for (size_t i = 0; i < 4; i++) {
		part[i] = strtok_r(i ? NULL : copy, ".", &save);
		if (!part[i])
			return refused(e);
	}
	if (strtok_r(NULL, ".", &save) || !qt_u64(&until, part[0], 1, INT32_MAX * (uint64_t)1000) || !qt_id_parse(&p.tenant, "ten", part[1]) ||
	    !qt_id_parse(&p.key, "key", part[2]) || strlen(part[3]) != sizeof(mac) - 1)
		return refused(e);
	p.until_s = (int64_t)until;
	if (sign(mac, conf, kind, container, &p, e) < 0)
		return -1;
	if (CRYPTO_memcmp(mac, part[3], sizeof(mac) - 1) != 0 || p.until_s <= now_s)
		return refused(e);
	*ret = p;
	return 0;
}

bool qt_gui_cookie_next(char ret[QT_GUI_PASS_MAX], const char *cookies, size_t *at)
{
	static const char name[] = QT_GUI_COOKIE "=";

	while (cookies[*at]) {
		const char *p = cookies + *at + strspn(cookies + *at, "; \t");
		size_t n = strcspn(p, ";");

		*at = (size_t)(p - cookies) + n;
		if (n < sizeof(name) || n - (sizeof(name) - 1) >= QT_GUI_PASS_MAX || strncmp(p, name, sizeof(name) - 1) != 0)
			continue;
		n -= sizeof(name) - 1;
		memcpy(ret, p + sizeof(name) - 1, n);
		ret[n] = '\0';
		return true;
	}
	return false;
}

static int cookie_of(char set_cookie[QT_GUI_COOKIE_MAX], const struct qt_conf *conf, const struct qt_id *container, struct qt_gui_pass p, int64_t now_s,
		     struct qt_err *e)
{
	char pass[QT_GUI_PASS_MAX];

	p.until_s = now_s + (int64_t)conf->gui_session_s;
	if (qt_gui_sign(pass, conf, QT_GUI_COOKIE_PASS, container, &p, e) < 0)
		return -1;
	if (!qt_fmt(set_cookie, QT_GUI_COOKIE_MAX, QT_GUI_COOKIE "=%s; Path=/gui/%s/; Max-Age=%llu; HttpOnly; Secure; SameSite=Strict", pass, container->s,
		    (unsigned long long)conf->gui_session_s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a cookie is too long");
	return 0;
}

/* 1 if one of them is good, 0 if there is none, -1. */
static int by_cookie(struct qt_gui_pass *p, const struct qt_conf *conf, const struct qt_id *container, const char *cookies, int64_t now_s, struct qt_err *e)
{
	char pass[QT_GUI_PASS_MAX];
	unsigned n = 0;

	for (size_t at = 0; n < COOKIES_MAX && cookies && qt_gui_cookie_next(pass, cookies, &at); n++) {
		struct qt_err why = {0};

		if (qt_gui_verify(p, conf, QT_GUI_COOKIE_PASS, container, pass, now_s, &why) == 0)
			return 1;
		if (why.code != QT_E_UNAUTHORIZED) {
			*e = why;
			return -1;
		}
	}
	return n == 0 ? 0 : refused(e);
}

int qt_gui_auth(struct qt_life *l, const struct qt_id *container, const char *link, const char *cookies, struct qt_apikey *ret,
		char set_cookie[QT_GUI_COOKIE_MAX], unsigned *retry_after_s, struct qt_err *e)
{
	int64_t now_s = qt_now_ms() / 1000;
	struct qt_gui_pass p;
	struct qt_apikey key;
	int r;

	set_cookie[0] = '\0';
	if (*link && qt_gui_verify(&p, l->conf, QT_GUI_LINK, container, link, now_s, e) == 0) {
		if (cookie_of(set_cookie, l->conf, container, p, now_s, e) < 0)
			return -1;
	} else {
		/* An old link, opened again by who has the cookie, is good. */
		struct qt_err of_link = *e;

		qt_err_reset(e);
		r = by_cookie(&p, l->conf, container, cookies, now_s, e);
		if (r == 0)
			*e = of_link;
		if (r < 1)
			return *link || r < 0 ? -1 : 0;
	}
	if (qt_store_auth_id(l->store, &p.key, &key, retry_after_s, e) < 0)
		return -1;
	if (!qt_streq(key.tenant.s, p.tenant.s))
		return refused(e);
	*ret = key;
	return 1;
}
