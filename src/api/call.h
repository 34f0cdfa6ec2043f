/* call.h - one request on its way: what came in, who asks, what goes out. Lives on a worker thread's stack. */
#ifndef QT_CALL_H
#define QT_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "life.h"

struct qt_file;
struct qt_route;

#define QT_PARAMS_MAX 3
#define QT_QUERY_MAX  16

struct qt_pair {
	const char *name, *value; /* decoded, NUL-terminated */
};

struct qt_call {
	/* in */
	const char *method;
	const char *content_type, *accept; /* "" if absent */
	const char *tenant_header;	   /* X-Tenant-Id, "" if absent */
	const char *const *path;	   /* decoded segments */
	const char *params[QT_PARAMS_MAX]; /* of the route's {names}, in order */
	const char *const *rest;	   /* of its {rest*}: segments, NULL-ended */
	struct qt_pair query[QT_QUERY_MAX];
	unsigned n_query;
	const char *body;
	size_t body_len;
	int upload;		 /* QT_R_UPLOAD: the file that the body became; -1 otherwise. The dispatcher closes it */
	char *beside;		 /* and, if it was JSON, that without the archive; owned */
	size_t beside_len;
	bool (*gone)(void *arg); /* has the client left? */
	void *gone_arg;
	char request_id[65];

	/* who, as nginx's auth subrequest found */
	struct qt_id tenant;
	char key_id[40], plan[32];

	/* found on the way */
	const struct qt_route *route;
	const void *req;  /* the decoded body, of the route's struct */
	uint64_t seen;	  /* its members */
	struct qt_life *life;

	/* out */
	int status;	   /* 0: the route's */
	json_t *reply;	   /* the handler's; owned */
	char *text;	   /* instead: free() */
	const char *text_type;
	struct qt_file *file; /* instead: its bytes (life/files.h); allocated */
	char allow[64];	   /* of a 405 */
};

#endif
