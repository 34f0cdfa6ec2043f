/* Work on files: the runtime only starts the process that does it, and hands it the descriptor that came. */
#include <fcntl.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "ops.h"
#include "sessions.h"
#include "str.h"

int rt_check_files_socket(int fd, struct qt_err *e)
{
	int domain, type;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || domain != AF_UNIX ||
	    type != SOCK_SEQPACKET)
		return qt_fail(e, QT_E_BAD_REQUEST, "files: the descriptor is not a Unix SEQPACKET socket");
	return 0;
}

static int on_volume(struct rt *rt, const struct qt_id *id, int sock, struct qt_err *e)
{
	const struct rt_obj *o = rt_obj_find(&rt->objs, id->s);
	auto_close int tree = -1;

	if (!o || o->making)
		return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume");
	tree = rt_store_volume(&rt->store, id, e);
	return tree < 0 ? -1 : rt_sessions_volume(rt->sessions, id, tree, sock, e);
}

/* Whoever makes the image writes its documents; afterwards they are for reading. */
static int on_image(struct rt *rt, const struct qt_id *id, bool build, int sock, struct qt_err *e)
{
	const struct rt_obj *o = rt_obj_find(&rt->objs, id->s);
	auto_close int tree = -1;

	if (!o)
		return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "there is no such image");
	tree = rt_store_volume(&rt->store, id, e);
	return tree < 0 ? -1 : rt_sessions_image(rt->sessions, id, tree, !o->making, build, sock, e);
}

int rt_op_files(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_files_req *req = req_;

	if (rt_check_files_socket(a->in_fds[0], e) < 0)
		return -1;
	if (c)
		return rt_sessions_container(rt->sessions, c, req->build != 0, a->in_fds[0], e);
	if (qt_starts(req->id.s, "vol_"))
		return on_volume(rt, &req->id, a->in_fds[0], e);
	if (qt_starts(req->id.s, "img_"))
		return on_image(rt, &req->id, req->build != 0, a->in_fds[0], e);
	return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
}
