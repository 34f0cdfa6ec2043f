/* upload.h - bodies that are too large for memory: a file in the spool, filled while they arrive. */
#ifndef QT_UPLOAD_H
#define QT_UPLOAD_H

#include "b64.h"
#include "buf.h"
#include "dispatch.h"

/*
 * A JSON object whose one large member is taken out while it goes by: its base64 is decoded into OUT, and REST has the same text with "" in its place, for
 * the ordinary decoder, which sees everything else and so refuses everything else. Only a member of the outermost object counts, and only when its
 * name is written without escapes.
 */
struct qt_json_sieve {
	const char *member;
	int out;
	struct qt_buf rest;
	uint64_t max, written; /* bytes of the decoded member */
	/* inside */
	struct qt_b64 b64;
	unsigned depth;
	bool in_string, escaped, is_name, taking, matched;
	char name[32];
	size_t name_len;
};
#define QT_SIEVE_REST 16384

/* Feed LEN bytes. BAD_REQUEST: not base64; PAYLOAD_TOO_LARGE: MAX, or what is beside the member. */
int qt_json_sieve(struct qt_json_sieve *s, const char *text, size_t len, struct qt_err *e);

/* The largest body that METHOD and URI take: of an upload as it is typed, else the settings' max_body_bytes. */
uint64_t qt_upload_limit(const struct qt_conf *conf, const char *method, const char *raw_uri);

/* Receive the body of IN for the upload route of C: C->upload is the file, from its begin; C->beside what a JSON body has beside it. */
int qt_upload_take(struct qt_call *c, const struct qt_in *in, struct qt_err *e);

#endif
