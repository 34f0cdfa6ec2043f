#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "peer_in.h"
#include "str.h"

#define SOCK_NAME	"runtime.sock"
#define MESSAGES_A_TURN 4
#define AGAIN_MS	2
#define LOG_ALL		20
#define LOG_EVERY	1000

static const struct role_def {
	enum rt_role role;
	const char *name;
	unsigned max; /* connections */
} roles[] = {
	{RT_ROLE_API, "api", 2048}, {RT_ROLE_AGENT, "agent", 64},    {RT_ROLE_ADMIN, "admin", 256},
	{RT_ROLE_DNS, "dns", 8},    {RT_ROLE_STREAM, "stream", 512},
};

_Static_assert(QT_LEN(roles) == RT_ROLES, "a count for each");

static size_t role_index(enum rt_role role)
{
	size_t i = 0;

	while (roles[i].role != role)
		i++;
	return i;
}

const char *rt_peer_role(const struct rt_peer *p)
{
	return roles[role_index(p->role)].name;
}

/* --- closing ------------------------------------------------------------------------------------------- */

static void release(void *arg)
{
	free(arg);
}

void rt_peer_forget(struct rt_peer *p)
{
	p->busy = false;
	rt_timer_clear(p->all->rt->loop, &p->budget);
	rt_timer_clear(p->all->rt->loop, &p->again);
	free(qt_take(&p->msg));
}

void rt_peer_close(struct rt_peer *p)
{
	struct rt_loop *l = p->all->rt->loop;

	if (p->closed)
		return;
	p->closed = true;
	rt_peer_forget(p);
	rt_peer_drop(p);
	rt_loop_del(l, &p->watch);
	qt_reset_fd(&p->fd, -1);
	p->all->count[role_index(p->role)]--;
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	rt_loop_later(l, &p->release, release, p);
}

static void broke(struct rt_peer *p, const struct qt_err *why)
{
	p->all->broken++;
	/* Somebody who does nothing else must not fill the disk with lines. */
	if (p->all->broken <= LOG_ALL || p->all->broken % LOG_EVERY == 0)
		qt_log_err(QT_LOG_WARN, why,
			   "a peer (%s, pid %d) broke the protocol and is closed; the %lu. so far",
			   rt_peer_role(p), (int)p->pid, p->all->broken);
	rt_peer_close(p);
}

/* --- requests ------------------------------------------------------------------------------------------ */

static void handle(struct rt_peer *p, const char *msg, size_t len, const int *fds, size_t n_fds);

static void over_budget(void *arg)
{
	struct rt_peer *p = arg;
	struct qt_err e = {0};

	(void)qt_fail(&e, QT_E_TIMEOUT, "%s: not done in time", rt_shapes[p->op].name);
	rt_peer_reply_error(p, &e);
	if (!p->closed)
		rt_peer_listen(p);
}

static void once_more(void *arg)
{
	struct rt_peer *p = arg;
	char *msg = qt_take(&p->msg);

	handle(p, msg, p->msg_len, NULL, 0); /* those that take descriptors do not ask for it */
	free(msg);
	if (!p->closed)
		rt_peer_listen(p);
}

/* Keep a copy of the message, and come back. */
static void again(struct rt_peer *p, const char *msg, size_t len, struct qt_err *e)
{
	char *copy = malloc(len);

	if (!copy) {
		(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		rt_peer_reply_error(p, e);
		return;
	}
	memcpy(copy, msg, len);
	p->msg = copy;
	p->msg_len = len;
	if (rt_timer_set(p->all->rt->loop, &p->again, AGAIN_MS, once_more, p, e) < 0)
		rt_peer_reply_error(p, e);
}

static void run(struct rt_peer *p, const struct rt_op_def *def, struct rt_ctr *c, const void *req,
		const char *msg, size_t len, const int *fds)
{
	struct rt *rt = p->all->rt;
	union {
#define RT_OP(SYM, name, fin, fout, doc) struct rt_##name##_rep name;
		RT_OPS(RT_OP)
#undef RT_OP
	} rep;
	struct rt_answer a = {.call = {p->watch, p->serial, p->op},
			      .rep = &rep,
			      .in_fds = fds,
			      .scratch = p->all->scratch,
			      .scratch_size = sizeof(p->all->scratch)};
	int64_t began = qt_mono_ms(), took;
	struct qt_err e = {0};
	int r;

	memset(&rep, 0, sizeof(rep));
	r = def->fn(rt, c, req, &a, &e);
	took = qt_mono_ms() - began;
	if (took > def->budget_ms)
		qt_log(QT_LOG_WARN, "%s took %d ms, and everybody waited", rt_shapes[p->op].name,
		       (int)took);
	if (p->closed || !p->busy)
		return; /* by what the handler sent to watchers; answered while the handler was still at it */
	if (r == 0) {
		rt_peer_reply(p, &rep, a.fds, rt_shapes[p->op].fds_out);
	} else if (r < 0) {
		rt_peer_reply_error(p, &e);
	} else {
		if (p->deadline == 0)
			p->deadline = began + def->budget_ms + a.extra_ms;
		if (p->budget.place == 0 &&
		    rt_timer_set(rt->loop, &p->budget, p->deadline - began, over_budget, p, &e) < 0)
			rt_peer_reply_error(p, &e);
		else if (r == RT_AGAIN)
			again(p, msg, len, &e);
	}
}

static void handle(struct rt_peer *p, const char *msg, size_t len, const int *fds, size_t n_fds)
{
	union {
#define RT_OP(SYM, name, fin, fout, doc) struct rt_##name##_req name;
		RT_OPS(RT_OP)
#undef RT_OP
		struct qt_id id;
	} req;
	const struct rt_op_shape *shape;
	const struct rt_op_def *def;
	struct rt_ctr *c = NULL;
	struct qt_err e = {0};
	struct rt_head h;

	if (rt_decode_head(&h, msg, len, &e) < 0 ||
	    (h.op == RT_NONE || h.op >= RT_OP_COUNT || h.code != 0
		     ? qt_fail(&e, QT_E_BAD_REQUEST, "no such operation")
		     : 0) < 0) {
		broke(p, &e);
		return;
	}
	shape = &rt_shapes[h.op];
	if (p->watching || p->greeted == (h.op == RT_HELLO)) {
		(void)qt_fail(&e, QT_E_BAD_REQUEST, "%s out of order", shape->name);
		broke(p, &e);
		return;
	}
	if (rt_decode(&req, sizeof(req), shape->req, shape->n_req, msg, len, &e) < 0) {
		(void)qt_context(&e, "%s", shape->name);
		broke(p, &e);
		return;
	}
	if (shape->n_req > 0 && shape->req[0].type == RT_F_ID)
		c = rt_ctr_find(&p->all->rt->ctrs,
				(const struct qt_id *)((const char *)&req + shape->req[0].off));
	p->busy = true;
	p->serial = h.serial;
	p->op = (enum rt_op)h.op;
	def = rt_admit(p->role, h.op, rt_admit_state(c), n_fds, &e);
	if (!def && e.code == QT_E_BAD_REQUEST) {
		broke(p, &e);
		return;
	}
	if (!def) {
		rt_peer_reply_error(p, &e);
		return;
	}
	if (h.op == RT_HELLO)
		p->greeted = true;
	run(p, def, c, &req, msg, len, fds);
}

static void receive(struct rt_peer *p)
{
	for (int i = 0; i < MESSAGES_A_TURN && !p->closed && !p->busy && !p->queue; i++) {
		int fds[QT_FDS_MAX];
		size_t n_fds = 0;
		struct qt_err e = {0};
		ssize_t len = qt_recv_fds(p->fd, p->all->in, sizeof(p->all->in), fds, &n_fds, &e);

		if (len < 0 && e.sys == EAGAIN)
			return;
		if (len < 0 && e.sys == EMSGSIZE) {
			broke(p, &e);
			return;
		}
		if (len <= 0) {
			rt_peer_close(p);
		} else {
			p->deadline = 0;
			handle(p, p->all->in, (size_t)len, fds, n_fds);
		}
		/* Those of a request that was refused, too. */
		for (size_t k = 0; k < n_fds; k++)
			qt_close(fds[k]);
	}
}

static void on_peer(void *arg, uint32_t events)
{
	struct rt_peer *p = arg;

	if (events & (EPOLLHUP | EPOLLERR)) {
		rt_peer_close(p);
		return;
	}
	if (events & EPOLLOUT)
		rt_peer_flush(p);
	if (!p->closed && (events & EPOLLIN))
		receive(p);
	if (!p->closed)
		rt_peer_listen(p);
}

/* --- accepting ----------------------------------------------------------------------------------------- */

static bool role_of(const struct rt_peers *all, uid_t uid, enum rt_role *ret)
{
	if (uid == all->api_uid)
		*ret = RT_ROLE_API;
	else if (uid == all->agent_uid)
		*ret = RT_ROLE_AGENT;
	else if (uid == all->stream_uid)
		*ret = RT_ROLE_STREAM;
	else if (uid == 0)
		*ret = RT_ROLE_ADMIN;
	else if (uid == all->dns_uid)
		*ret = RT_ROLE_DNS;
	else
		return false;
	return true;
}

static void welcome(struct rt_peers *all, int new_fd)
{
	auto_close int fd = new_fd;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct qt_err e = {0};
	enum rt_role role;
	struct rt_peer *p;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    !role_of(all, cred.uid, &role)) {
		qt_log(QT_LOG_WARN, "a connection of uid %u is refused", (unsigned)cred.uid);
		return;
	}
	if (all->count[role_index(role)] >= roles[role_index(role)].max) {
		qt_log(QT_LOG_WARN, "too many connections of %s", roles[role_index(role)].name);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	p->all = all;
	p->role = role;
	p->pid = cred.pid;
	p->queue_end = &p->queue;
	if (rt_loop_add(all->rt->loop, fd, EPOLLIN, on_peer, p, &p->watch, &e) < 0) {
		qt_log_err(QT_LOG_WARN, &e, "a connection is refused");
		free(p);
		return;
	}
	p->fd = qt_take_fd(&fd);
	all->count[role_index(role)]++;
	p->next = all->first;
	p->prev = &all->first;
	if (p->next)
		p->next->prev = &p->next;
	all->first = p;
}

static void on_listen(void *arg, uint32_t events)
{
	struct rt_peers *all = arg;
	int fd = accept4(all->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		welcome(all, fd);
		return;
	}
	if (errno == EMFILE || errno == ENFILE) {
		/* Take it with the descriptor that was kept for this, and close it: a connection that stays in the backlog would keep the
		 * loop awake for nothing. */
		qt_reset_fd(&all->reserve_fd, -1);
		fd = accept4(all->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		qt_close(fd);
		all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		qt_log(QT_LOG_ERROR, "out of descriptors: a connection is refused");
	}
}

static int listen_here(struct rt_peers *all, gid_t gid, struct qt_err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return qt_fail_sys(e, errno, "socket");
	(void)qt_fmt(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" SOCK_NAME,
		     all->rt->run_fd);
	if (unlinkat(all->rt->run_fd, SOCK_NAME, 0) < 0 && errno != ENOENT)
		return qt_fail_sys(e, errno, "remove the old socket");
	/* Born closed (the umask is 077), then opened to the group. */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    fchownat(all->rt->run_fd, SOCK_NAME, 0, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(all->rt->run_fd, SOCK_NAME, 0660, 0) < 0 || listen(fd, SOMAXCONN) < 0)
		return qt_fail_sys(e, errno, "listen on " SOCK_NAME);
	all->listen_fd = qt_take_fd(&fd);
	return rt_loop_add(all->rt->loop, all->listen_fd, EPOLLIN, on_listen, all, &all->watch, e);
}

int rt_peers_open(struct rt_peers **ret, struct rt *rt, struct qt_err *e)
{
	struct rt_peers *all = calloc(1, sizeof(*all));
	const struct passwd *pw;
	gid_t gid;

	if (!all)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	all->rt = rt;
	all->listen_fd = -1;
	all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*ret = all;
	pw = getpwnam(rt->conf.api_user);
	if (!pw)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "there is no user \"%s\" (api_user)",
			       rt->conf.api_user);
	all->api_uid = pw->pw_uid;
	gid = pw->pw_gid;
	pw = getpwnam(rt->conf.agent_user);
	if (!pw)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "there is no user \"%s\" (agent_user)",
			       rt->conf.agent_user);
	all->agent_uid = pw->pw_uid;
	pw = getpwnam(rt->conf.stream_user);
	if (!pw)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "there is no user \"%s\" (stream_user)",
			       rt->conf.stream_user);
	all->stream_uid = pw->pw_uid;
	pw = getpwnam(rt->conf.dns_user);
	all->dns_uid = pw ? pw->pw_uid : 0; /* there need not be a resolver */
	return listen_here(all, gid, e);
}

void rt_peers_close(struct rt_peers *all)
{
	if (!all)
		return;
	while (all->first)
		rt_peer_close(all->first);
	rt_loop_del(all->rt->loop, &all->watch);
	qt_close(all->listen_fd);
	qt_close(all->reserve_fd);
	free(all);
}

bool rt_peer_has(const struct rt *rt, enum rt_role role)
{
	for (const struct rt_peer *p = rt->peers->first; p; p = p->next)
		if (p->role == role && p->greeted)
			return true;
	return false;
}

pid_t rt_peer_pid(const struct rt *rt, const struct rt_call *call)
{
	const struct rt_peer *p = rt_peer_waiting(rt, call);

	return p ? p->pid : 0;
}

void rt_peer_watch(struct rt *rt, const struct rt_call *call)
{
	struct rt_peer *p = rt_peer_waiting(rt, call);

	if (p)
		p->watching = true;
}
