/* scroll.h - what a terminal showed last, in a file that its container's init holds (minit/proto.h), so that it outlives us. The other side may write there
 * what it likes: nothing in it is believed but that it is bytes. */
#ifndef QT_STREAM_SCROLL_H
#define QT_STREAM_SCROLL_H

#include <stddef.h>
#include <stdint.h>

#include "blob.h"
#include "err.h"

struct sq_scroll {
	int fd;
	uint64_t total; /* of minit's struct mi_scroll */
};

/* FD is taken: the init's file, or -1, or not such a file: then it is one of ours, and is lost with us. */
int sq_scroll_open(struct sq_scroll *s, int fd, struct qt_err *e);
void sq_scroll_done(struct sq_scroll *s);
void sq_scroll_add(struct sq_scroll *s, const char *data, size_t len);
/* All of it; NULL: nothing, or no memory. */
struct sq_blob *sq_scroll_blob(const struct sq_scroll *s);

#endif
