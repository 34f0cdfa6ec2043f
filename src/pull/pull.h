/*
 * pull.h - what the parts of quilt-pull share: the program that fetches an image from a registry, for the agent, which started it and knows nothing of HTTP.
 *
 * It reads one JSON object from its standard input, up to its end:
 *   reference, platform ("os/architecture[/variant]"), registry_username, registry_password, allow (as the setting registry_allow), max_bytes, stall_s,
 *   have (an array: digests of layers that are not to be fetched)
 * and writes lines to its standard output, each a JSON object: {"percent": n}, now and then, and at the end {"error_code", "error"} or
 *   {"manifest_digest", "config_digest", "size_bytes", "n_layers", "docker", "layers": [{"digest", "index", "size", "have"}]}
 * With the latter the files manifest, config and, for each layer that it did not have, layer.<index> lie in its working directory, each as large as the manifest
 * says and with the sha256 that it says. What a layer says twice is there once, at its topmost place.
 */
#ifndef PL_PULL_H
#define PL_PULL_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "img.h"

#define PL_MANIFEST_MAX (4U << 20)
#define PL_CONFIG_MAX	(8U << 20)
#define PL_INDEX_MAX	64  /* manifests in an index */
#define PL_REDIRECTS	3
#define PL_TRIES	4
#define PL_THREADS	3

/* --- addr.c: where it may connect to ------------------------------------------------------------------------ */

/* Is this an address of the public internet: none of private, loopback, link-local, multicast and reserved ones, in any of their disguises? */
bool pl_addr_public(const struct sockaddr *sa);

/* What LIST ("[http://]host[:port], …") says of the host and port of a URL. */
struct pl_allow {
	bool inside; /* may be at any address */
	bool plain;  /* may be spoken to without TLS */
};
struct pl_allow pl_allow_find(const char *list, const char *host, unsigned port, bool http);

/* --- http.c --------------------------------------------------------------------------------------------------- */

struct pl_http {
	const char *allow;
	const char *ca; /* certificates (PEM) that are trusted besides the machine's, of hosts that ALLOW lists; "": none */
	unsigned stall_s;
	char base[300];	 /* https://host[:port] of the registry */
	char host[256];	 /* of it, and its port */
	unsigned port;
	char scope[300]; /* of a token */
	const char *user, *password; /* "" if there are none */
	pthread_mutex_t lock;
	char *auth;	 /* the Authorization header; NULL: none */
	int64_t auth_ms; /* when it was got, monotonic; 0: never */
	atomic_bool stop;
};

/* For a request: what is wanted, and what came. */
struct pl_get {
	const char *path; /* behind the base */
	const char *accept;
	uint64_t offset;  /* to go on at */
	/* What comes, if its status is 200 or 206; -1 with E ends it. RESTART: it begins at 0, though an offset was asked for. */
	int (*take)(void *arg, const char *data, size_t len, struct qt_err *e);
	void (*restart)(void *arg);
	void *arg;

	long status;
	bool again; /* of a failure: it may go well the next time */
	bool stalled; /* it did nothing for so long that a document is not asked for again, and a layer once */
	char type[128], digest[QT_DIGEST_MAX + 1];
};

int pl_http_init(struct pl_http *h, const struct qt_imgref *ref, struct qt_err *e);
void pl_http_done(struct pl_http *h);

/* REGISTRY_DENIED, REGISTRY_ERROR, IMAGE_NOT_FOUND. CURL is a handle (CURL *) of the caller's thread. */
int pl_http_get(struct pl_http *h, void *curl, struct pl_get *g, struct qt_err *e);

/* A challenge (the value of WWW-Authenticate) as its parts; false if it is none that can be met. */
struct pl_challenge {
	bool bearer; /* else basic */
	char realm[1024], service[256];
};
bool pl_challenge_parse(struct pl_challenge *ret, const char *text);

/* --- manifest.c ------------------------------------------------------------------------------------------------- */

struct pl_layer {
	char digest[QT_DIGEST_MAX + 1];
	uint64_t size;
	unsigned index; /* in the manifest */
	bool have;
};
struct pl_manifest {
	char config[QT_DIGEST_MAX + 1];
	uint64_t config_size, layers_size;
	unsigned n_layers; /* in the manifest */
	bool docker;	   /* it is one of Docker's, which always say so */
	unsigned n;
	struct pl_layer layers[QT_IMG_LAYERS_MAX];
};

extern const char pl_accept[]; /* the media types */

/* Is it an index, by its content and its type, which must agree? IMAGE_REFUSED. */
int pl_is_index(const json_t *doc, const char *type, bool *ret, struct qt_err *e);
/* The digest of the manifest for PLATFORM. IMAGE_NOT_FOUND: it has none. */
int pl_index_pick(const json_t *doc, const char *platform, char *digest, struct qt_err *e);
int pl_manifest_parse(const json_t *doc, uint64_t max_bytes, struct pl_manifest *ret, struct qt_err *e);

/* --- blob.c ----------------------------------------------------------------------------------------------------- */

/* The document at PATH into *RET (free()), at most MAX bytes; DIGEST (QT_DIGEST_MAX + 1 bytes) is "" or what it must have, and set to what it has. */
int pl_document(struct pl_http *h, void *curl, const char *path, const char *accept, size_t max, char *digest, char *type, size_t type_size, char **ret,
		size_t *ret_len, struct qt_err *e);

/* The layers of M that are not had, into files. PROGRESS gets the bytes that came. */
int pl_layers(struct pl_http *h, const char *repository, const struct pl_manifest *m, void (*progress)(uint64_t bytes), struct qt_err *e);

#endif
