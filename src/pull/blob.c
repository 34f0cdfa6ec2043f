#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "pull.h"
#include "rnd.h"
#include "str.h"

#define GAP_MS 100 /* before the second try; twice as long before each further one */

static EVP_MD_CTX *new_hash(void)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1)
		return c;
	EVP_MD_CTX_free(c);
	return NULL;
}

static void end_hash(EVP_MD_CTX *c, char *digest)
{
	unsigned char sum[32] = {0};

	(void)EVP_DigestFinal_ex(c, sum, NULL);
	memcpy(digest, "sha256:", 7);
	qt_hex(digest + 7, sum, sizeof(sum));
}

static void pause_before(int try)
{
	const struct timespec gap = {.tv_sec = (GAP_MS << try) / 1000, .tv_nsec = (GAP_MS << try) % 1000 * 1000000L};

	(void)nanosleep(&gap, NULL);
}

/* --- documents ------------------------------------------------------------------------------------------------ */

struct doc {
	char *s;
	size_t len, max;
};

static int take_doc(void *arg, const char *data, size_t len, struct qt_err *e)
{
	struct doc *d = arg;
	char *more;

	if (len > d->max - d->len)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the registry's manifest or configuration is larger than %zu bytes", d->max);
	more = realloc(d->s, d->len + len + 1);
	if (!more)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	d->s = more;
	memcpy(d->s + d->len, data, len);
	d->len += len;
	d->s[d->len] = '\0';
	return 0;
}

static int check_doc(const struct doc *d, const struct pl_get *g, char *digest, struct qt_err *e)
{
	EVP_MD_CTX *hash = new_hash();
	char is[QT_DIGEST_MAX + 1];

	if (!hash || !d->s) {
		EVP_MD_CTX_free(hash);
		return qt_fail(e, QT_E_REGISTRY_ERROR, "the registry sends nothing");
	}
	(void)EVP_DigestUpdate(hash, d->s, d->len);
	end_hash(hash, is);
	EVP_MD_CTX_free(hash);
	if ((*digest && !qt_streq(digest, is)) || (g->digest[0] && qt_starts(g->digest, "sha256:") && !qt_streq(g->digest, is)))
		return qt_fail(e, QT_E_IMAGE_REFUSED, "what the registry sends does not have the digest that it should");
	(void)qt_copy(digest, QT_DIGEST_MAX + 1, is);
	return 0;
}

int pl_document(struct pl_http *h, void *curl, const char *path, const char *accept, size_t max, char *digest, char *type, size_t type_size, char **ret,
		size_t *ret_len, struct qt_err *e)
{
	for (int try = 0;; try++) {
		struct doc d = {.max = max};
		struct pl_get g = {.path = path, .accept = accept, .take = take_doc, .arg = &d};

		if (pl_http_get(h, curl, &g, e) == 0 && check_doc(&d, &g, digest, e) == 0) {
			(void)qt_fmt(type, type_size, "%.*s", (int)strcspn(g.type, "; "), g.type);
			*ret = d.s;
			*ret_len = d.len;
			return 0;
		}
		free(d.s);
		if (!g.again || try + 1 == PL_TRIES || g.stalled)
			return -1;
		qt_err_reset(e);
		pause_before(try);
	}
}

/* --- layers --------------------------------------------------------------------------------------------------- */

struct work {
	struct pl_http *h;
	const char *repository;
	const struct pl_manifest *m;
	void (*progress)(uint64_t bytes);
	pthread_mutex_t lock;
	unsigned next; /* that nobody fetches yet */
	uint64_t came;
	struct qt_err err;
};

struct blob {
	struct work *w;
	const struct pl_layer *l;
	int fd;
	uint64_t at;
	EVP_MD_CTX *hash;
};

static void count(struct work *w, int64_t bytes)
{
	(void)pthread_mutex_lock(&w->lock);
	w->came += (uint64_t)bytes;
	w->progress(w->came);
	(void)pthread_mutex_unlock(&w->lock);
}

static int take_blob(void *arg, const char *data, size_t len, struct qt_err *e)
{
	struct blob *b = arg;

	if (len > b->l->size - b->at)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "a layer is larger than the manifest says");
	if (qt_write_full(b->fd, data, len, e) < 0)
		return -1;
	(void)EVP_DigestUpdate(b->hash, data, len);
	b->at += len;
	count(b->w, (int64_t)len);
	return 0;
}

static void restart_blob(void *arg)
{
	struct blob *b = arg;

	count(b->w, -(int64_t)b->at);
	b->at = 0;
	(void)EVP_DigestInit_ex(b->hash, EVP_sha256(), NULL);
	if (ftruncate(b->fd, 0) < 0 || lseek(b->fd, 0, SEEK_SET) < 0)
		b->fd = -1; /* the next write says what is wrong */
}

static int get_blob(struct blob *b, CURL *curl, struct qt_err *e)
{
	char path[512], is[QT_DIGEST_MAX + 1];

	(void)qt_fmt(path, sizeof(path), "/v2/%s/blobs/%s", b->w->repository, b->l->digest);
	for (int try = 0; b->at < b->l->size || try == 0; try++) {
		struct pl_get g = {.path = path, .offset = b->at, .take = take_blob, .restart = restart_blob, .arg = b};
		int r = pl_http_get(b->w->h, curl, &g, e);

		if (r == 0 && b->at == b->l->size)
			break;
		if (r < 0 && (!g.again || (g.stalled && try > 0)))
			return -1;
		if (try + 1 == PL_TRIES)
			return r < 0 ? -1 : qt_fail(e, QT_E_REGISTRY_ERROR, "the registry sends less of a layer than its manifest says");
		qt_err_reset(e);
		pause_before(try);
	}
	end_hash(b->hash, is);
	return qt_streq(is, b->l->digest) ? 0 : qt_fail(e, QT_E_IMAGE_REFUSED, "a layer does not have the digest that the manifest says");
}

static int get_layer(struct work *w, const struct pl_layer *l, CURL *curl, struct qt_err *e)
{
	struct blob b = {.w = w, .l = l, .hash = new_hash()};
	auto_close int fd = -1;
	char name[32];
	int r;

	(void)qt_fmt(name, sizeof(name), "layer.%u", l->index);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || !b.hash) {
		EVP_MD_CTX_free(b.hash);
		return qt_fail_sys(e, errno, "make a file for a layer");
	}
	b.fd = fd;
	r = get_blob(&b, curl, e);
	EVP_MD_CTX_free(b.hash);
	return r;
}

static const struct pl_layer *next(struct work *w)
{
	const struct pl_layer *l = NULL;

	(void)pthread_mutex_lock(&w->lock);
	while (w->next < w->m->n && !l) {
		l = &w->m->layers[w->next++];
		if (l->have)
			l = NULL;
	}
	if (w->err.code != QT_OK)
		l = NULL;
	(void)pthread_mutex_unlock(&w->lock);
	return l;
}

static void *thread(void *arg)
{
	struct work *w = arg;
	CURL *curl = curl_easy_init();
	const struct pl_layer *l;

	while ((l = next(w))) {
		struct qt_err e = {0};

		if (curl ? get_layer(w, l, curl, &e) == 0 : (qt_fail(&e, QT_E_UNAVAILABLE, "out of memory"), false))
			continue;
		(void)pthread_mutex_lock(&w->lock);
		if (w->err.code == QT_OK)
			w->err = e;
		(void)pthread_mutex_unlock(&w->lock);
		atomic_store(&w->h->stop, true);
	}
	curl_easy_cleanup(curl);
	return NULL;
}

int pl_layers(struct pl_http *h, const char *repository, const struct pl_manifest *m, void (*progress)(uint64_t bytes), struct qt_err *e)
{
	struct work w = {.h = h, .repository = repository, .m = m, .progress = progress, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t t[PL_THREADS];
	unsigned n = 0;

	while (n < PL_THREADS && n < m->n && pthread_create(&t[n], NULL, thread, &w) == 0)
		n++;
	if (n == 0)
		return qt_fail(e, QT_E_UNAVAILABLE, "no thread can be started");
	while (n > 0)
		(void)pthread_join(t[--n], NULL);
	if (w.err.code == QT_OK)
		return 0;
	*e = w.err;
	return -1;
}
