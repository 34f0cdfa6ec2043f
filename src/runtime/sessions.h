/* sessions.h - the quilt-files processes that run: each at work on one tree, for one conversation (src/files/proto.h). */
#ifndef RT_SESSIONS_H
#define RT_SESSIONS_H

#include "ctr.h"

#define RT_SESSIONS_MAX	     64 /* on this node */
#define RT_SESSIONS_TREE_MAX 8	/* of them, on one tree */

struct rt_sessions;

/* PROGRAM is the path of quilt-files. */
int rt_sessions_open(struct rt_sessions **ret, struct rt *rt, const char *program, struct qt_err *e);
void rt_sessions_close(struct rt_sessions *s); /* ends them all, and waits for it */

/* Start one that talks over SOCK (borrowed) about the tree of the running container C; it is in C's cgroup, and ends with it at the latest. BUILD: it can
 * pack, and give files to any user of the container. */
int rt_sessions_container(struct rt_sessions *s, const struct rt_ctr *c, bool build, int sock, struct qt_err *e);

/* The same about the directory TREE_FD (borrowed, root's on disk) of the volume ID, in a cgroup and with a range of user ids of its own. */
int rt_sessions_volume(struct rt_sessions *s, const struct qt_id *id, int tree_fd, int sock, struct qt_err *e);
/* The same about what is kept of the image ID, READ_ONLY or not; and about a layer that is unpacked for it. */
int rt_sessions_image(struct rt_sessions *s, const struct qt_id *id, int tree_fd, bool read_only, bool build, int sock, struct qt_err *e);
int rt_sessions_layer(struct rt_sessions *s, const struct qt_id *id, int tree_fd, int sock, struct qt_err *e);

/* How many work on ID's tree. End those, and wait: afterwards nobody holds the tree. */
unsigned rt_sessions_count(const struct rt_sessions *s, const struct qt_id *id);
void rt_sessions_end(struct rt_sessions *s, const struct qt_id *id);

#endif
