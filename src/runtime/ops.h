/* ops.h - what this process does for others: one row an operation (ops.c), and who may ask for it when. */
#ifndef RT_OPS_H
#define RT_OPS_H

#include <stdio.h>

#include "fdpass.h"
#include "runtime.h"

/* From SO_PEERCRED, never from a message. */
enum rt_role {
	RT_ROLE_API = 1 << 0,	/* workers */
	RT_ROLE_AGENT = 1 << 1, /* the node's agent */
	RT_ROLE_ADMIN = 1 << 2, /* root, who needs no runtime to do harm: quiltctl, tests */
	RT_ROLE_STREAM = 1 << 4, /* quilt-stream */
	RT_ROLE_ALL = RT_ROLE_API | RT_ROLE_AGENT | RT_ROLE_ADMIN,
	RT_ROLE_DNS = 1 << 3, /* the resolver, which is not one of them: it gets its sockets, and hears that we are there */
};

/* Our own record of the container, never a field of the request. */
enum rt_admit_state {
	RT_S_NONE = 1 << 0, /* there is none of this id; or the request is not about one */
	RT_S_CREATED = 1 << 1,
	RT_S_RUNNING = 1 << 2,
	RT_S_ENDING = 1 << 3, /* it runs, or its init is just gone, and stop, kill or delete is under way */
	RT_S_EXITED = 1 << 4,
	RT_S_MAKING = 1 << 5, /* create waits for the copy of a layer */
	RT_S_ANY = RT_S_CREATED | RT_S_RUNNING | RT_S_ENDING | RT_S_EXITED,
};

/* Changes something: not carried out twice for one answer; a hint for the reader and docs/privileges.md. */
enum { RT_MUTATES = 1 << 0 };

struct rt_answer {
	struct rt_call call;
	void *rep; /* struct rt_NAME_rep, zeroed; texts in it must outlive the handler: those of the container, or in scratch */
	const int *in_fds; /* the request's, as many as the row says: closed after the handler */
	int fds[QT_FDS_MAX]; /* as many as the row says: closed once they are sent */
	char *scratch;
	size_t scratch_size;
	uint32_t extra_ms; /* RT_LATER: may take so much longer than the row says */
};

enum { RT_LATER = 1, /* the handler kept a->call, and answers by rt_answer() or rt_refuse() (peer.h) */
       RT_AGAIN = 2, /* something is not gone yet: call the handler anew in a moment, as long as the budget lasts */
};

/* 0: a->rep is the answer; -1: E is; RT_LATER, RT_AGAIN. C is NULL exactly in state RT_S_NONE. */
typedef int (*rt_handler)(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e);

struct rt_op_def {
	unsigned roles, states, flags;
	uint32_t budget_ms; /* an answer takes at most so long; a handler that answers at once and took longer is logged */
	rt_handler fn;
	const char *uses, *hostile; /* for docs/privileges.md */
};

/* May a peer of ROLE ask for OP of a container in STATE, with N_FDS descriptors? The row, or NULL with E set. Pure: a test walks
 * every combination and compares with tests/unit/rt_policy.txt. */
const struct rt_op_def *rt_admit(unsigned role, uint32_t op, unsigned state, size_t n_fds, struct qt_err *e);

unsigned rt_admit_state(const struct rt_ctr *c); /* NULL: RT_S_NONE */

void rt_print_privileges(FILE *out); /* docs/privileges.md */
void rt_print_protocol(FILE *out);   /* docs/protocol-runtime.md */

/* Is it what quilt-files can talk over? BAD_REQUEST. */
int rt_check_files_socket(int fd, struct qt_err *e);

/* The handlers: op_*.c. */
#define RT_HANDLER(name) \
	int rt_op_##name(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
RT_HANDLER(hello);
RT_HANDLER(info);
RT_HANDLER(create);
RT_HANDLER(start);
RT_HANDLER(stop);
RT_HANDLER(kill);
RT_HANDLER(delete);
RT_HANDLER(get);
RT_HANDLER(list);
RT_HANDLER(record);
RT_HANDLER(connect);
RT_HANDLER(logs);
RT_HANDLER(check);
RT_HANDLER(stats);
RT_HANDLER(images);
RT_HANDLER(image_file);
RT_HANDLER(gpus);
RT_HANDLER(snapshot);
RT_HANDLER(obj_get);
RT_HANDLER(obj_list);
RT_HANDLER(obj_record);
RT_HANDLER(obj_delete);
RT_HANDLER(vol_make);
RT_HANDLER(ps);
RT_HANDLER(signal);
RT_HANDLER(watch);
RT_HANDLER(files);
RT_HANDLER(image_begin);
RT_HANDLER(image_commit);
RT_HANDLER(layer_begin);
RT_HANDLER(layer_commit);
RT_HANDLER(layer_take);
RT_HANDLER(net);
RT_HANDLER(route);
RT_HANDLER(net_mend);
RT_HANDLER(address);
RT_HANDLER(dns);

#endif
