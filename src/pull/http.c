#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "b64.h"
#include "cleanup.h"
#include "clock.h"
#include "pull.h"
#include "str.h"

#define HUB	     "registry-1.docker.io"
#define TOKEN_MAX    65536
#define AUTH_AGAIN_MS 60000 /* a token that was good for so long may have run out */

/* One exchange: no redirect is followed by the library, so that each step is looked at here. */
struct step {
	struct pl_http *h;
	struct pl_get *g;
	CURL *curl;
	struct pl_allow allow; /* of this step's host */
	bool refused;	       /* an address was */
	bool began;	       /* the body */
	char location[2048], challenge[2048], range[64];
	struct qt_err err;
};

int pl_http_init(struct pl_http *h, const struct qt_imgref *ref, struct qt_err *e)
{
	const char *name = qt_streq(ref->registry, "docker.io") ? HUB : ref->registry, *colon = strchr(name, ':');
	struct pl_allow a;

	if (!qt_fmt(h->host, sizeof(h->host), "%.*s", colon ? (int)(colon - name) : (int)strlen(name), name) ||
	    !qt_fmt(h->scope, sizeof(h->scope), "repository:%s:pull", ref->repository))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the reference is too long");
	h->port = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 443;
	a = pl_allow_find(h->allow, h->host, colon ? h->port : 80, true);
	if (a.plain && !colon)
		h->port = 80;
	(void)qt_fmt(h->base, sizeof(h->base), "%s://%s", a.plain ? "http" : "https", name);
	(void)pthread_mutex_init(&h->lock, NULL);
	return 0;
}

void pl_http_done(struct pl_http *h)
{
	free(h->auth);
	(void)pthread_mutex_destroy(&h->lock);
}

/* --- callbacks -------------------------------------------------------------------------------------------------- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct step *s = arg;

	(void)purpose;
	/* The very address that is connected to: no name is looked up again behind this. */
	if (!s->allow.inside && !pl_addr_public(&a->addr)) {
		s->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool header(const char *line, size_t len, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return false;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && strchr("\r\n \t", line[len - 1]))
		len--;
	if (len < size && !memchr(line, '\0', len)) {
		memcpy(out, line, len);
		out[len] = '\0';
	}
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct step *s = arg;
	size_t len = size * n;

	(void)(header(line, len, "location:", s->location, sizeof(s->location)) ||
	       header(line, len, "www-authenticate:", s->challenge, sizeof(s->challenge)) ||
	       header(line, len, "content-type:", s->g->type, sizeof(s->g->type)) ||
	       header(line, len, "docker-content-digest:", s->g->digest, sizeof(s->g->digest)) ||
	       header(line, len, "content-range:", s->range, sizeof(s->range)));
	return len;
}

static bool range_fits(const struct step *s)
{
	char want[64];

	(void)qt_fmt(want, sizeof(want), "bytes %llu-", (unsigned long long)s->g->offset);
	return qt_starts(s->range, want);
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct step *s = arg;
	long status = 0;

	(void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 206)
		return size * n; /* what is said of an error is for nobody */
	if (!s->began && s->g->offset > 0) {
		if (status == 206 && !range_fits(s)) {
			(void)qt_fail(&s->err, QT_E_REGISTRY_ERROR, "the registry sends another part than was asked for");
			return 0;
		}
		if (status == 200)
			s->g->restart(s->g->arg);
	}
	s->began = true;
	return s->g->take(s->g->arg, data, size * n, &s->err) == 0 ? size * n : 0;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct step *s = arg;

	(void)a, (void)b, (void)c, (void)d;
	return atomic_load(&s->h->stop);
}

/* --- one step --------------------------------------------------------------------------------------------------- */

static int denied(struct qt_err *e, const char *why)
{
	return qt_fail(e, QT_E_REGISTRY_DENIED, "the registry cannot be used: %s", why);
}

/* URL, taken apart and put together again by the one who will connect. */
static int check_url(struct step *s, const char *url, const char *relative, char *out, size_t size, bool *ret_own, struct qt_err *e)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *port = NULL, *whole = NULL, *user = NULL;
	bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		  (!relative || curl_url_set(u, CURLUPART_URL, relative, 0) == CURLUE_OK) &&
		  curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		  curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		  curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
		  qt_copy(out, size, whole);
	int r = -1;

	if (!ok || curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
		(void)denied(e, "it names a URL that is not one");
	} else {
		bool http = qt_streq(scheme, "http");
		unsigned n = (unsigned)strtoul(port, NULL, 10);

		s->allow = pl_allow_find(s->h->allow, host, n, http);
		*ret_own = strcasecmp(host, s->h->host) == 0 && n == s->h->port;
		if (http ? !s->allow.plain : !qt_streq(scheme, "https"))
			(void)denied(e, "it names a URL without TLS");
		else
			r = 0;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(whole);
	curl_free(user);
	curl_url_cleanup(u);
	return r;
}

/* What has happened on the way, as an error. */
static int explain(struct step *s, CURLcode r, struct qt_err *e)
{
	if (s->err.code != QT_OK)
		return *e = s->err, -1;
	if (s->refused)
		return denied(e, "it is, or leads to, a private, link-local or loopback address, which the operator does not allow");
	s->g->again = r != CURLE_ABORTED_BY_CALLBACK && r != CURLE_PEER_FAILED_VERIFICATION && r != CURLE_OUT_OF_MEMORY;
	s->g->stalled = r == CURLE_OPERATION_TIMEDOUT;
	if (r == CURLE_OPERATION_TIMEDOUT)
		return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry stopped sending");
	if (r == CURLE_PEER_FAILED_VERIFICATION)
		return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry's certificate is not one of an authority that is trusted here, or of another host");
	if (r == CURLE_COULDNT_RESOLVE_HOST) {
		s->g->again = false;
		return qt_fail(e, QT_E_REGISTRY_ERROR, "there is no such host as the registry's");
	}
	return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry cannot be reached, or broke off: %s", curl_easy_strerror(r));
}

static int perform(struct step *s, const char *url, const char *auth, struct qt_err *e)
{
	struct curl_slist *headers = NULL;
	char accept[1024];
	CURL *c = s->curl;
	CURLcode r;

	curl_easy_reset(c);
	if (s->g->accept && qt_fmt(accept, sizeof(accept), "Accept: %s", s->g->accept))
		headers = curl_slist_append(headers, accept);
	if (auth)
		headers = curl_slist_append(headers, auth);
	s->location[0] = s->challenge[0] = s->range[0] = s->g->type[0] = s->g->digest[0] = '\0';
	s->began = false;
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "quiltd/" PACKAGE_VERSION);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)s->h->stall_s);
	(void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)s->h->stall_s);
	(void)curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)s->g->offset);
	(void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, s);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, s);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, s);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, s);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (s->allow.inside && s->h->ca[0]) {
		struct curl_blob ca = {.data = (void *)(uintptr_t)s->h->ca, .len = strlen(s->h->ca), .flags = CURL_BLOB_NOCOPY};

		(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca); /* instead of the file; the directory of the machine's stays */
	}
	/* A connection that was made for another host's permission is not used for this one. */
	(void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, s->allow.inside ? 0L : 1L);
	r = curl_easy_perform(c);
	curl_slist_free_all(headers);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &s->g->status);
	/* A server that has no more than we have says so by 416, and the library that the range cannot be had. */
	return r == CURLE_OK || (r == CURLE_RANGE_ERROR && s->g->status == 416) ? 0 : explain(s, r, e);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* URL and where it leads. AUTH goes to the registry's own host alone. */
static int follow(struct step *s, const char *url, const char *auth, struct qt_err *e)
{
	char at[4096], next[4096];
	bool own;

	if (check_url(s, url, NULL, at, sizeof(at), &own, e) < 0)
		return -1;
	for (int hop = 0;; hop++) {
		if (perform(s, at, own ? auth : NULL, e) < 0)
			return -1;
		if (!is_redirect(s->g->status) || !s->location[0])
			return 0;
		if (hop == PL_REDIRECTS)
			return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry redirects more than %d times", PL_REDIRECTS);
		if (check_url(s, at, s->location, next, sizeof(next), &own, e) < 0)
			return -1;
		memcpy(at, next, sizeof(at));
	}
}

/* --- authorization ------------------------------------------------------------------------------------------------ */

static bool parameter(const char *text, const char *name, char *out, size_t size)
{
	for (const char *p = text; (p = strcasestr(p, name)); p++) {
		const char *q = p + strlen(name), *end;

		if ((p != text && !strchr(" ,\t", p[-1])) || *q++ != '=' || *q++ != '"' || !(end = strchr(q, '"')) || (size_t)(end - q) >= size)
			continue;
		memcpy(out, q, (size_t)(end - q));
		out[end - q] = '\0';
		return true;
	}
	return false;
}

bool pl_challenge_parse(struct pl_challenge *ret, const char *text)
{
	*ret = (struct pl_challenge){.bearer = strncasecmp(text, "Bearer ", 7) == 0};
	if (!ret->bearer)
		return strncasecmp(text, "Basic", 5) == 0 && (text[5] == '\0' || text[5] == ' ');
	(void)parameter(text + 7, "service", ret->service, sizeof(ret->service));
	return parameter(text + 7, "realm", ret->realm, sizeof(ret->realm)) && ret->realm[0];
}

static char *basic(const struct pl_http *h)
{
	char pair[600], *text, *out = NULL;
	size_t n;

	if (!h->user[0] || !qt_fmt(pair, sizeof(pair), "%s:%s", h->user, h->password))
		return NULL;
	n = strlen(pair);
	text = calloc(1, (n + 2) / 3 * 4 + 1);
	if (text) {
		(void)qt_b64_encode(text, pair, n);
		if (asprintf(&out, "Authorization: Basic %s", text) < 0)
			out = NULL;
		explicit_bzero(text, strlen(text));
	}
	explicit_bzero(pair, sizeof(pair));
	free(text);
	return out;
}

struct text {
	char *s;
	size_t len;
};

static int take_text(void *arg, const char *data, size_t len, struct qt_err *e)
{
	struct text *t = arg;

	if (len > TOKEN_MAX - t->len)
		return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry's token is too large");
	memcpy(t->s + t->len, data, len);
	t->len += len;
	return 0;
}

/* A registry that is given a password could ask for it by "Basic": that it names another place which takes it, by TLS, gives it no more. */
static char *get_token(struct pl_http *h, CURL *curl, const struct pl_challenge *ch, struct qt_err *e)
{
	struct text t = {calloc(1, TOKEN_MAX + 1), 0};
	struct pl_get g = {.take = take_text, .arg = &t};
	struct step s = {.h = h, .g = &g, .curl = curl};
	char *service = curl_easy_escape(curl, ch->service, 0), *scope = curl_easy_escape(curl, h->scope, 0), *out = NULL, *auth = basic(h);
	char url[3000], whole[4096];
	json_t *doc = NULL;
	bool own;

	if (t.s && service && scope &&
	    qt_fmt(url, sizeof(url), "%s%sservice=%s&scope=%s", ch->realm, strchr(ch->realm, '?') ? "&" : "?", service, scope) &&
	    check_url(&s, url, NULL, whole, sizeof(whole), &own, e) == 0 && perform(&s, whole, auth, e) == 0) {
		if (g.status == 200)
			doc = json_loadb(t.s, t.len, 0, NULL);
		const char *token = json_string_value(json_object_get(doc, "token"));

		if (!token)
			token = json_string_value(json_object_get(doc, "access_token"));
		if (!token || strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") != strlen(token))
			(void)denied(e, h->user[0] ? "it does not take the user name and the password" : "it wants a user name and a password");
		else if (asprintf(&out, "Authorization: Bearer %s", token) < 0)
			out = NULL;
	}
	if (!out && e->code == QT_OK)
		(void)qt_fail(e, QT_E_REGISTRY_ERROR, "the registry's token cannot be got");
	json_decref(doc);
	curl_free(service);
	curl_free(scope);
	free(auth);
	free(t.s);
	return out;
}

/* After a 401. With the lock held: who comes later finds it done. */
static int authorize(struct pl_http *h, CURL *curl, const char *challenge, struct qt_err *e)
{
	struct pl_challenge ch;
	char *auth;

	if (h->auth_ms > 0 && qt_mono_ms() < h->auth_ms + AUTH_AGAIN_MS)
		return denied(e, h->user[0] ? "it does not take the user name and the password" : "it wants a user name and a password, or there is no such image");
	if (!pl_challenge_parse(&ch, challenge))
		return denied(e, "it asks for credentials in a way that is not known here");
	if (!ch.bearer && !h->user[0])
		return denied(e, "it wants a user name and a password");
	auth = ch.bearer ? get_token(h, curl, &ch, e) : basic(h);
	if (!auth)
		return e->code != QT_OK ? -1 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	free(h->auth);
	h->auth = auth;
	h->auth_ms = qt_mono_ms();
	return 0;
}

static char *copy_auth(struct pl_http *h)
{
	char *s;

	(void)pthread_mutex_lock(&h->lock);
	s = h->auth ? strdup(h->auth) : NULL;
	(void)pthread_mutex_unlock(&h->lock);
	return s;
}

static int authorize_once(struct pl_http *h, CURL *curl, const char *used, const char *challenge, struct qt_err *e)
{
	int r = 0;

	(void)pthread_mutex_lock(&h->lock);
	if (!h->auth || (used && qt_streq(used, h->auth)))
		r = authorize(h, curl, challenge, e);
	(void)pthread_mutex_unlock(&h->lock);
	return r;
}

static int check_status(struct pl_get *g, struct qt_err *e)
{
	g->again = g->status == 429 || g->status >= 500;
	switch (g->status) {
	case 200:
	case 206:
		return 0;
	case 401:
	case 403:
		return denied(e, "it does not give access to this image");
	case 404:
		return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/reference", "", "the registry has no such image");
	default:
		return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry answers with status %ld", g->status);
	}
}

int pl_http_get(struct pl_http *h, void *curl, struct pl_get *g, struct qt_err *e)
{
	struct step s = {.h = h, .g = g, .curl = curl};
	char url[2048];

	g->again = g->stalled = false;
	if (!qt_fmt(url, sizeof(url), "%s%s", h->base, g->path))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the reference is too long");
	for (int i = 0;; i++) {
		char *auth = copy_auth(h);
		int r = follow(&s, url, auth, e);

		if (r == 0 && g->status == 401 && i == 0)
			r = authorize_once(h, curl, auth, s.challenge, e) == 0 ? 1 : -1;
		if (auth)
			explicit_bzero(auth, strlen(auth));
		free(auth);
		if (r <= 0)
			return r < 0 ? -1 : check_status(g, e);
	}
}
