/* quilt-files: reads, writes and unpacks in the tree of one volume or one container, for one conversation. Started by quilt-runtime only. */
#include <errno.h>
#include <iconv.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "enter.h"
#include "fdpass.h"
#include "hash.h"
#include "layer.h"
#include "num.h"
#include "pack.h"
#include "str.h"
#include "tree.h"

#ifdef QT_SANITIZED
/* Its search for leaks needs a thread and ptrace, which there is not; /proc neither. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:handle_segv=0:allow_user_segv_handler=1";
}
#endif

/* What the runtime starts it as. */
static const struct kind {
	const char *name;
	bool container; /* in its namespaces */
	enum ft_rights rights;
	bool hashes, packs;
} kinds[] = {
	{"container", true, FT_R_PLAIN, false, false}, {"volume", false, FT_R_PLAIN, false, false}, {"layer", false, FT_R_LAYER, true, false},
	{"build", true, FT_R_OWNERS, true, true},      {"context", false, FT_R_PLAIN, true, true},
};

struct server {
	int root_fd;
	struct ft_limits limits;
	uint64_t serial;
	const struct kind *kind;
	char diff_id[FT_SHA256 + 1];
	char path[FT_PATH_MAX];
	char in[RT_MSG_MAX], out[RT_MSG_MAX], entries[49152];
};

static int send_rep(struct server *s, enum ft_op op, const void *rep)
{
	const struct rt_head h = {.magic = RT_MAGIC, .op = (uint16_t)op, .serial = s->serial};
	struct qt_err e = {0};
	int len = rt_encode(s->out, sizeof(s->out), &h, ft_shapes[op].rep, ft_shapes[op].n_rep, rep, &e);

	return len < 0 ? -1 : qt_send_fds(FT_FD_SOCKET, s->out, (size_t)len, NULL, 0, &e);
}

static int send_error(struct server *s, enum ft_op op, const struct qt_err *why)
{
	const struct rt_head h = {.magic = RT_MAGIC, .op = (uint16_t)op, .serial = s->serial};
	struct qt_err e = {0};
	int len = rt_encode_error(s->out, sizeof(s->out), &h, why);

	return len < 0 ? -1 : qt_send_fds(FT_FD_SOCKET, s->out, (size_t)len, NULL, 0, &e);
}

static void progress(void *arg, unsigned percent)
{
	const struct ft_progress_rep rep = {.percent = percent};

	/* Who asked is gone, or does not want it any more. */
	if (send_rep(arg, FT_PROGRESS, &rep) < 0)
		exit(0);
}

/* The one operation with something behind its answer. */
static int do_read(struct server *s, const struct ft_read_req *req, int pipe_fd, struct qt_err *e)
{
	struct ft_read_rep rep;
	auto_close int fd = ft_read_open(s->root_fd, s->path, req->max_bytes, &rep, e);

	if (fd < 0)
		return -1;
	if (send_rep(s, FT_READ, &rep) == 0)
		ft_read_send(fd, pipe_fd, rep.size);
	return 1;
}

/* 0: REP is the answer. 1: it is sent. -1: E is. */
static int run(struct server *s, enum ft_op op, const union ft_req *q, int fd, union ft_rep *rep, struct qt_err *e)
{
	/* Each process is for one or the other. */
	if ((s->kind->rights == FT_R_LAYER) != (op == FT_LAYER || op == FT_BLOB) || (op == FT_PACK && !s->kind->packs))
		return qt_fail(e, QT_E_BAD_REQUEST, "not here");
	if (op == FT_LAYER)
		return ft_layer(s->root_fd, q->layer.digest.s, fd, &s->limits, progress, s, s->diff_id, &rep->layer, e);
	if (op == FT_BLOB)
		return ft_blob(s->root_fd, q->blob.digest.s, fd, &rep->blob, e);
	if (op == FT_PACK)
		return ft_pack(s->root_fd, &q->pack, fd, &s->limits, progress, s, s->diff_id, &rep->pack, e);
	/* All others begin with the path. */
	if (ft_path(s->path, q->stat.path.s, e) < 0)
		return -1;
	switch (op) {
	case FT_STAT:
		return ft_stat(s->root_fd, s->path, &rep->stat, e);
	case FT_LS:
		return ft_ls(s->root_fd, &q->ls, s->path, s->entries, sizeof(s->entries), &rep->ls, e);
	case FT_READ:
		return do_read(s, &q->read, fd, e);
	case FT_WRITE:
		return ft_write(s->root_fd, s->path, q->write.mode, fd, &rep->write, e);
	case FT_DELETE:
		return ft_delete(s->root_fd, s->path, e);
	case FT_EXTRACT:
		if (q->extract.strip > FT_STRIP_MAX)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "at most %d components are stripped", FT_STRIP_MAX);
		if (q->extract.owners >= FT_O_COUNT || q->extract.mode > 07777 + 1 || strchr(q->extract.name.s, '/') || qt_streq(q->extract.name.s, "..") || qt_streq(q->extract.name.s, ".") ||
		    (s->kind->rights == FT_R_PLAIN && (q->extract.owners || q->extract.mode || q->extract.name.len)))
			return qt_fail(e, QT_E_BAD_REQUEST, "not here");
		return ft_extract(s->root_fd, &q->extract, s->path, fd, &s->limits, progress, s, &rep->extract, e);
	case FT_NONE:
	case FT_LAYER:
	case FT_BLOB:
	case FT_PACK:
	case FT_PROGRESS:
	case FT_OP_COUNT:
		break;
	}
	return qt_fail(e, QT_E_BAD_REQUEST, "unknown operation");
}

/* -1: the conversation is over. */
static int handle(struct server *s, size_t len, const int *fds, size_t n_fds)
{
	union ft_rep rep;
	union ft_req req;
	struct qt_err e = {0};
	struct rt_head h;
	int r;

	if (rt_decode_head(&h, s->in, len, &e) < 0 || h.op == FT_NONE || h.op >= FT_PROGRESS || h.code != 0 || n_fds != ft_shapes[h.op].fds_in ||
	    rt_decode(&req, sizeof(req), ft_shapes[h.op].req, ft_shapes[h.op].n_req, s->in, len, &e) < 0)
		return -1;
	s->serial = h.serial;
	memset(&rep, 0, sizeof(rep));
	r = run(s, (enum ft_op)h.op, &req, n_fds > 0 ? fds[0] : -1, &rep, &e);
	if (r < 0)
		return send_error(s, (enum ft_op)h.op, &e);
	return r > 0 ? 0 : send_rep(s, (enum ft_op)h.op, &rep);
}

static void serve(struct server *s)
{
	struct pollfd p = {.fd = FT_FD_SOCKET, .events = POLLIN};
	int r = 0;

	while (r == 0 && poll(&p, 1, FT_IDLE_MS) > 0) {
		int fds[QT_FDS_MAX];
		size_t n = 0;
		struct qt_err e = {0};
		ssize_t len = qt_recv_fds(FT_FD_SOCKET, s->in, sizeof(s->in), fds, &n, &e);

		r = len > 0 ? handle(s, (size_t)len, fds, n) : -1;
		while (n > 0)
			qt_close(fds[--n]);
	}
}

int main(int argc, char **argv)
{
	static struct server s;
	struct qt_err e = {0};

	for (size_t i = 0; argc == 4 && i < QT_LEN(kinds); i++)
		if (qt_streq(argv[1], kinds[i].name))
			s.kind = &kinds[i];
	if (argc != 4 || !s.kind || !qt_u64(&s.limits.entries, argv[2], 1, UINT64_MAX) || !qt_u64(&s.limits.bytes, argv[3], 1, INT64_MAX)) {
		fputs("quilt-files is started by quilt-runtime; see quilt-files(8)\n", stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Names in UTF-8 headers are converted to the C locale's ASCII, or else taken as they are. What that needs is read now, from the host; later no
	 * library can open a file. */
	(void)iconv_close(iconv_open("ANSI_X3.4-1968", "UTF-8"));
	if (s.kind->hashes && ft_hash_init(&e) < 0) {
		(void)send_error(&s, FT_NONE, &e);
		return 1;
	}
	if ((s.kind->container ? ft_enter_container(&e) : ft_enter_volume(&e)) < 0 || (s.root_fd = ft_lock(&s.limits, s.kind->rights, &e)) < 0) {
		(void)send_error(&s, FT_NONE, &e);
		return 1;
	}
	serve(&s);
	return 0;
}
