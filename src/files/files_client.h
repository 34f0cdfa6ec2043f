/* files_client.h - the worker's and the agent's side of a conversation with quilt-files. */
#ifndef FT_CLIENT_H
#define FT_CLIENT_H

#include "files/proto.h"
#include "wire/client.h"

struct qt_files {
	int sock;
	uint64_t serial;
	char *buf; /* the last reply, into which decoded text points until the next request */
};

/* Begin a conversation about the tree of a running container or a volume. CONTAINER_NOT_FOUND, VOLUME_NOT_FOUND, INVALID_STATE, and what the runtime
 * says when it cannot; CAPACITY_FULL when there are too many conversations. F is initialised in any case. */
int qt_files_open(struct qt_files *f, struct rt_client *rt, const struct qt_id *id, struct qt_err *e);
/* The same for a build, of a running container or an image that is being made: FT_PACK and all of FT_EXTRACT. */
int qt_files_open_build(struct qt_files *f, struct rt_client *rt, const struct qt_id *id, struct qt_err *e);
/* The same about the layer HEX that is unpacked for IMAGE, unless it is there: *RET_THERE, and then there is nobody to talk to, but RET_DIFF_ID
 * (FT_SHA256 + 1 bytes) is set. */
int qt_files_open_layer(struct qt_files *f, struct rt_client *rt, const struct qt_id *image, const char *hex, bool *ret_there,
			char *ret_diff_id, struct qt_err *e);
void qt_files_done(struct qt_files *f); /* ends it */
#define auto_files QT_AUTO(qt_files_done) /* include cleanup.h */

/* One request: REQ is a struct ft_NAME_req, REP a struct ft_NAME_rep of that OP; FD, borrowed, goes with it when the operation takes one. PROGRESS may be
 * NULL; false ends the conversation, and the work, with CONFLICT. RUNTIME_UNAVAILABLE: the other side is gone, nobody knows how far it came; TIMEOUT; else the tree's own error. After the first two it can only
 * be ended. */
int qt_files_call(struct qt_files *f, enum ft_op op, const void *req, int fd, void *rep, size_t rep_size, bool (*progress)(void *arg, unsigned percent),
		  void *arg, int budget_ms, struct qt_err *e);

#endif
