/* quilt-pull: fetches an image from a registry into its working directory. Started by quilt-agent only. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cage.h"
#include "cleanup.h"
#include "fdio.h"
#include "pull.h"
#include "str.h"

#define REQUEST_MAX (1U << 20)
#define CA_MAX	    (1U << 20)

static uint64_t total;

static void say(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);
	struct qt_err e = {0};

	if (text && (qt_write_full(STDOUT_FILENO, text, strlen(text), &e) < 0 || qt_write_full(STDOUT_FILENO, "\n", 1, &e) < 0))
		_exit(1); /* the agent is gone */
	free(text);
	json_decref(o);
}

static void progress(uint64_t bytes)
{
	static unsigned last;
	unsigned pct = total > 0 ? (unsigned)(bytes * 100 / total) : 100;

	if (pct == last)
		return;
	last = pct;
	say(json_pack("{s:i}", "percent", (int)pct));
}

static int fail(const struct qt_err *e)
{
	const struct qt_err_row *row = qt_err_row(e->code);

	if (!row->show)
		fprintf(stderr, "quilt-pull: %s\n", e->msg);
	say(json_pack("{s:s, s:s}", "error_code", row->name, "error", e->msg));
	return 1;
}

struct pull {
	json_t *req;
	struct qt_imgref ref;
	struct pl_http http;
	CURL *curl;
	struct pl_manifest m;
	char manifest_digest[QT_DIGEST_MAX + 1];
};

static const char *text(const json_t *req, const char *name)
{
	const char *s = json_string_value(json_object_get(req, name));

	return s ? s : "";
}

static int keep(const char *name, const char *s, size_t len, struct qt_err *e)
{
	auto_close int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? qt_fail_sys(e, errno, "make a file") : qt_write_full(fd, s, len, e);
}

static int fetch_document(struct pull *p, const char *kind, const char *what, size_t max, char *digest, char *type, size_t type_size, char **ret,
			  size_t *ret_len, struct qt_err *e)
{
	char path[700];

	(void)qt_fmt(path, sizeof(path), "/v2/%s/%s/%s", p->ref.repository, kind, what);
	return pl_document(&p->http, p->curl, path, qt_streq(kind, "manifests") ? pl_accept : NULL, max, digest, type, type_size, ret, ret_len, e);
}

/* At most one index lies before the manifest. */
static int fetch_manifest(struct pull *p, struct qt_err *e)
{
	char what[QT_IMAGE_MAX + 1], type[128];
	int r = -1;

	(void)qt_copy(what, sizeof(what), p->ref.digest[0] ? p->ref.digest : p->ref.tag);
	(void)qt_copy(p->manifest_digest, sizeof(p->manifest_digest), p->ref.digest);
	for (int depth = 0; depth < 2; depth++) {
		auto_free char *doc = NULL;
		json_t *j = NULL;
		bool index = false;
		size_t len;

		if (fetch_document(p, "manifests", what, PL_MANIFEST_MAX, p->manifest_digest, type, sizeof(type), &doc, &len, e) < 0)
			return -1;
		j = json_loadb(doc, len, JSON_REJECT_DUPLICATES, NULL);
		r = pl_is_index(j, type, &index, e);
		if (r == 0 && index && depth > 0)
			r = qt_fail(e, QT_E_IMAGE_REFUSED, "the registry's index leads to another index");
		else if (r == 0 && index)
			r = pl_index_pick(j, text(p->req, "platform"), p->manifest_digest, e);
		else if (r == 0)
			r = pl_manifest_parse(j, (uint64_t)json_integer_value(json_object_get(p->req, "max_bytes")), &p->m, e) < 0 ||
					    keep("manifest", doc, len, e) < 0
				    ? -1
				    : 0;
		json_decref(j);
		if (r < 0 || !index)
			break;
		(void)qt_copy(what, sizeof(what), p->manifest_digest);
	}
	return r;
}

static int fetch_config(struct pull *p, struct qt_err *e)
{
	auto_free char *doc = NULL;
	char type[128];
	size_t len;

	if (fetch_document(p, "blobs", p->m.config, p->m.config_size, p->m.config, type, sizeof(type), &doc, &len, e) < 0)
		return -1;
	return len == p->m.config_size ? keep("config", doc, len, e)
				       : qt_fail(e, QT_E_IMAGE_REFUSED, "the configuration is not as large as the manifest says");
}

static void mark_had(struct pull *p)
{
	json_t *have;
	size_t k;

	total = p->m.layers_size;
	json_array_foreach(json_object_get(p->req, "have"), k, have)
		for (unsigned i = 0; i < p->m.n; i++)
			if (qt_streq(p->m.layers[i].digest, json_string_value(have) ? json_string_value(have) : "") && !p->m.layers[i].have) {
				p->m.layers[i].have = true;
				total -= p->m.layers[i].size;
			}
}

static void tell(const struct pull *p)
{
	json_t *layers = json_array();

	for (unsigned i = 0; i < p->m.n; i++)
		json_array_append_new(layers, json_pack("{s:s, s:i, s:I, s:b}", "digest", p->m.layers[i].digest, "index", (int)p->m.layers[i].index,
							"size", (json_int_t)p->m.layers[i].size, "have", (int)p->m.layers[i].have));
	say(json_pack("{s:s, s:s, s:I, s:i, s:b, s:o}", "manifest_digest", p->manifest_digest, "config_digest", p->m.config, "size_bytes",
		      (json_int_t)p->m.layers_size, "n_layers", (int)p->m.n_layers, "docker", (int)p->m.docker, "layers", layers));
}

static int pull(struct pull *p, struct qt_err *e)
{
	if (fetch_manifest(p, e) < 0 || fetch_config(p, e) < 0)
		return -1;
	mark_had(p);
	if (pl_layers(&p->http, p->ref.repository, &p->m, progress, e) < 0)
		return -1;
	tell(p);
	return 0;
}

/* Before the cage: it may lie anywhere. One that cannot be read trusts nobody, and registries that need it say so. */
static const char *read_ca(const json_t *req)
{
	static char pem[CA_MAX];
	struct qt_err e = {0};

	if (!*text(req, "ca"))
		return "";
	if (qt_read_file(AT_FDCWD, text(req, "ca"), pem, sizeof(pem), &e) < 0) {
		fprintf(stderr, "quilt-pull: registry_ca: %s\n", e.msg);
		return "";
	}
	return pem;
}

static json_t *read_request(struct qt_err *e)
{
	char *buf = calloc(1, REQUEST_MAX);
	ssize_t n = buf ? qt_read_all(STDIN_FILENO, buf, REQUEST_MAX, e) : -1;
	json_t *req = n > 0 ? json_loadb(buf, (size_t)n, 0, NULL) : NULL;

	if (buf)
		explicit_bzero(buf, REQUEST_MAX);
	free(buf);
	if (!json_is_object(req) && e->code == QT_OK)
		(void)qt_fail(e, QT_E_BAD_REQUEST, "the request is not a JSON object");
	return req;
}

/* Nobody reads what we say: the agent died before the cage tied us to its life. The next one has this directory by now. */
static bool orphaned(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) != 0;
}

int main(int argc, char **argv)
{
	static struct pull p;
	struct qt_err e = {0};
	int r;

	(void)argv;
	if (argc != 1 || isatty(STDIN_FILENO)) {
		fputs("quilt-pull is started by quilt-agent; see quilt-pull(8)\n", stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	p.req = read_request(&e);
	p.http.ca = read_ca(p.req);
	if (!p.req || pl_cage((uint64_t)json_integer_value(json_object_get(p.req, "max_bytes")), &e) < 0 ||
	    qt_imgref_parse("/reference", text(p.req, "reference"), &p.ref, &e) < 0)
		return fail(&e);
	if (orphaned())
		return 1;
	p.http.allow = text(p.req, "allow");
	p.http.stall_s = (unsigned)json_integer_value(json_object_get(p.req, "stall_s"));
	p.http.user = text(p.req, "registry_username");
	p.http.password = text(p.req, "registry_password");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(p.curl = curl_easy_init())) {
		(void)qt_fail(&e, QT_E_UNAVAILABLE, "out of memory");
		return fail(&e);
	}
	r = pl_http_init(&p.http, &p.ref, &e) < 0 || pull(&p, &e) < 0 ? fail(&e) : 0;
	curl_easy_cleanup(p.curl);
	pl_http_done(&p.http);
	json_decref(p.req);
	curl_global_cleanup();
	return r;
}
