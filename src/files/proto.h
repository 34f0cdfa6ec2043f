/*
 * proto.h - the conversation between a worker or the agent and quilt-files, over the SOCK_SEQPACKET socket that the runtime gave it (RT_FILES).
 *
 * Messages, fields and errors are those of src/wire/msg.h, with the operations of files.def. One request at a time. The program ends when the
 * socket closes, after FT_IDLE_MS without a request, and when something breaks the protocol; if it cannot make its sandbox, its first message is
 * that error (op FT_NONE). What it says is as good as the tree it works in: the client believes nothing but its shape.
 */
#ifndef FT_PROTO_H
#define FT_PROTO_H

#include "files.def"
#include "msg.h"

#define FT_IDLE_MS   30000 /* without a request, or with a reader of a pipe that does not read */
#define FT_LS_MAX    1000000U /* names of one directory that are sorted; more are PAYLOAD_TOO_LARGE */
#define FT_LS_BYTES  (64U << 20)
#define FT_PATH_MAX  4096
#define FT_DEPTH_MAX 100 /* components of a path */
#define FT_STRIP_MAX 64
#define FT_SHA256    64 /* hexadecimal digits of a digest */

enum ft_op {
	FT_NONE,
#define FT_OP(SYM, name, fin, doc) FT_##SYM,
	FT_OPS(FT_OP)
#undef FT_OP
	FT_OP_COUNT
};

enum ft_owners {
	FT_O_ROOT,    /* everything is root's, without setuid, setgid and sticky; links stay inside the archive */
	FT_O_ARCHIVE, /* as the archive says, modes and links, too */
	FT_O_GIVEN,   /* the same, but for uid and gid */
	FT_O_COUNT
};
enum ft_type { FT_T_FILE, FT_T_DIR, FT_T_LINK, FT_T_OTHER, FT_T_COUNT };
const char *ft_type_name(enum ft_type t);

#define FT_MEMBER(S, type, name, max) RT_C_##type name;
#define FT_OP(SYM, name, fin, doc)           \
	struct ft_##name##_req {             \
		FT_REQ_##SYM(FT_MEMBER, _)   \
		char end;                    \
	};                                   \
	struct ft_##name##_rep {             \
		FT_REP_##SYM(FT_MEMBER, _)   \
		char end;                    \
	};
FT_OPS(FT_OP)
#undef FT_OP

union ft_req {
#define FT_OP(SYM, name, fin, doc) struct ft_##name##_req name;
	FT_OPS(FT_OP)
#undef FT_OP
};
union ft_rep {
#define FT_OP(SYM, name, fin, doc) struct ft_##name##_rep name;
	FT_OPS(FT_OP)
#undef FT_OP
};

struct ft_shape {
	const char *name;
	const struct rt_field *req, *rep;
	uint8_t n_req, n_rep, fds_in;
};
extern const struct ft_shape ft_shapes[FT_OP_COUNT];

/* A path of a request, made plain: no leading or doubled slash, no "." component; "" is the root. VALIDATION_ERROR: ".." as a component, too long, too
 * deep, a component of more than 255 bytes. OUT has FT_PATH_MAX bytes. */
int ft_path(char *out, const char *path, struct qt_err *e);

#endif
