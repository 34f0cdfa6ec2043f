/* rt.h - the runtime's protocol as C: structs and tables made from ops.def. */
#ifndef QT_RT_H
#define QT_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "id.h"
#include "ops.def"

#define RT_MAGIC 0x31545251U /* "QRT1" */

enum rt_op {
	RT_NONE, /* a zeroed message asks for nothing */
#define RT_OP(SYM, name, fin, fout, doc) RT_##SYM,
	RT_OPS(RT_OP)
#undef RT_OP
	RT_OP_COUNT
};

enum rt_state { RT_ST_NONE, RT_ST_CREATED, RT_ST_RUNNING, RT_ST_EXITED, RT_ST_COUNT };

enum rt_event {
	RT_EV_CREATED = 1, /* made and started */
	RT_EV_STARTED,	   /* started again */
	RT_EV_EXITED,	   /* the init is gone; exit_code is set */
	RT_EV_DELETED,
	RT_EV_OOM, /* the kernel killed something in it for memory */
};

/* The bits of RT_CHECK's answer. */
enum {
	RT_CHECK_RUNNING = 1 << 0, /* the journal says running, and the init's pidfd is alive */
	RT_CHECK_INIT = 1 << 1,	   /* the init answered a ping */
	RT_CHECK_NETWORK = 1 << 2, /* seen from inside its namespace: the address is there, the link is up, a default route */
	RT_CHECK_IMAGE = 1 << 3,   /* the image's contract holds: shell and what else its file lists are there and executable */
};

/* How a copy of a running container is taken. */
enum rt_consistency {
	RT_CRASH_CONSISTENT, /* what its disk would hold had the machine died at that moment */
	RT_APP_CONSISTENT,   /* its processes stand still meanwhile, and what they wrote is on disk */
};

/* The bits of RT_NET's answer. */
enum rt_net_check {
	RT_NET_HOST_LINK = 1 << 0, /* the host's end is there and up */
	RT_NET_LINK = 1 << 1,	   /* the container's end is there and up */
	RT_NET_ADDRESS = 1 << 2,
	RT_NET_ROUTE = 1 << 3,	   /* the default route */
	RT_NET_FILTER = 1 << 4,	   /* the rules know it */
	RT_NET_DNS = 1 << 5,	   /* of the node: a resolver has its sockets and is there */
	RT_NET_EGRESS = 1 << 6,	   /* of the node: there is an uplink */
};

/* How a field lies in its struct. Text and bytes point into the message that was decoded, or to the caller's own memory when
 * encoding; STR and each text of STRV end with NUL. */
struct rt_str {
	const char *s; /* never NULL after decoding */
	uint32_t len;
};
struct rt_strv {
	const char *s; /* N texts, one after the other, each with its NUL */
	uint32_t len;  /* of all, NULs included */
	uint32_t n;
};

#define RT_C_U32  uint32_t
#define RT_C_U64  uint64_t
#define RT_C_ID	  struct qt_id
#define RT_C_STR  struct rt_str
#define RT_C_STRV struct rt_strv
#define RT_C_BLOB struct rt_str

/* Each ends with a member that means nothing, since C has no empty struct. */
#define RT_MEMBER(S, type, name, max) RT_C_##type name;
#define RT_OP(SYM, name, fin, fout, doc)     \
	struct rt_##name##_req {             \
		RT_REQ_##SYM(RT_MEMBER, _)   \
		char end;                    \
	};                                   \
	struct rt_##name##_rep {             \
		RT_REP_##SYM(RT_MEMBER, _)   \
		char end;                    \
	};
RT_OPS(RT_OP)
#undef RT_OP

enum rt_type { RT_F_U32, RT_F_U64, RT_F_ID, RT_F_STR, RT_F_STRV, RT_F_BLOB };

struct rt_field {
	const char *name;
	enum rt_type type;
	uint16_t off;
	uint32_t max;
};

/* One operation: its fields and its descriptors. Indexed by enum rt_op; the row of RT_NONE is empty. */
struct rt_op_shape {
	const char *name, *doc;
	const struct rt_field *req, *rep; /* n_req and n_rep of them */
	uint8_t n_req, n_rep, fds_in, fds_out;
	uint16_t req_size, rep_size; /* of the structs */
};
extern const struct rt_op_shape rt_shapes[RT_OP_COUNT];

/* The head of every message, in the machine's byte order: both ends are one machine. */
struct rt_head {
	uint32_t magic;
	uint16_t op;
	uint16_t code; /* of a reply: enum qt_code; of a request: 0 */
	uint64_t serial; /* the reply has the request's */
};

/* A list of texts as STRV: appends TEXT and its NUL to the SIZE bytes at BUF, where V already holds a part of them. False
 * if it does not fit. */
bool rt_strv_add(struct rt_strv *v, char *buf, size_t size, const char *text);

/* Walks a list: const char *p = NULL; while ((p = rt_strv_next(&v, p))) … */
const char *rt_strv_next(const struct rt_strv *v, const char *prev);
bool rt_strv_has(const struct rt_strv *v, const char *text);

/* What the layer that is taken of a container for IMAGE is called: the characters of the image's id in hexadecimal digits, with zeros before them. A name and no digest;
 * nobody finds a blob that has it. OUT has RT_LAYER_NAME_MAX + 1 bytes. */
#define RT_LAYER_NAME_MAX 64
void rt_layer_name(char *out, const struct qt_id *image);

/* A STR of a C string. */
struct rt_str rt_str(const char *text);

#endif
