/* blob.h - bytes on their way to one client or to many. */
#ifndef QT_STREAM_BLOB_H
#define QT_STREAM_BLOB_H

#include <stdlib.h>
#include <string.h>

#include <libwebsockets.h>

/* The bytes follow LWS_PRE that are libwebsockets' to scribble in. Counted: whoever queues it holds it. */
struct sq_blob {
	unsigned refs;
	size_t len;
	unsigned char room[LWS_PRE];
	char data[];
};

/* With one reference, the caller's. DATA may be NULL: to be filled in. NULL without memory. */
static inline struct sq_blob *sq_blob_new(const void *data, size_t len)
{
	struct sq_blob *b = malloc(sizeof(*b) + len + 1);

	if (!b)
		return NULL;
	b->refs = 1;
	b->len = len;
	if (data)
		memcpy(b->data, data, len);
	b->data[len] = '\0';
	return b;
}

static inline void sq_blob_unref(struct sq_blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

#endif
