#include <stdlib.h>
#include <string.h>

#include "proto.h"
#include "str.h"

/* Two tables an operation, each ended by an empty row, since ISO C has no empty array. */
#define ROW(S, type, name, max)	  {#name, RT_F_##type, offsetof(struct S, name), max},
#define COUNT(S, type, name, max) +1
#define FT_OP(SYM, name, fin, doc)                                                                       \
	static const struct rt_field req_##name[] = {FT_REQ_##SYM(ROW, ft_##name##_req){NULL, 0, 0, 0}}; \
	static const struct rt_field rep_##name[] = {FT_REP_##SYM(ROW, ft_##name##_rep){NULL, 0, 0, 0}};
FT_OPS(FT_OP)
#undef FT_OP

const struct ft_shape ft_shapes[FT_OP_COUNT] = {
#define FT_OP(SYM, name_, fin, doc)                      \
	[FT_##SYM] = {.name = #name_,                    \
		      .req = req_##name_,                \
		      .rep = rep_##name_,                \
		      .n_req = 0 FT_REQ_##SYM(COUNT, _), \
		      .n_rep = 0 FT_REP_##SYM(COUNT, _), \
		      .fds_in = fin},
	FT_OPS(FT_OP)
#undef FT_OP
};

const char *ft_type_name(enum ft_type t)
{
	static const char *const names[FT_T_COUNT] = {"file", "directory", "symlink", "other"};

	return names[t < FT_T_COUNT ? t : FT_T_OTHER];
}

int ft_path(char *out, const char *path, struct qt_err *e)
{
	size_t at = 0, depth = 0, n;

	for (const char *p = path; *p; p += n) {
		n = strcspn(p, "/");
		if (n == 0 || (n == 1 && p[0] == '.')) {
			n += p[n] == '/';
			continue;
		}
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return qt_fail(e, QT_E_VALIDATION_ERROR, "a path must not hold \"..\"");
		if (n > 255 || ++depth > FT_DEPTH_MAX || at + n + 2 > FT_PATH_MAX)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "the path is too long: at most %d bytes, %d components of 255 bytes each",
				       FT_PATH_MAX - 1, FT_DEPTH_MAX);
		if (at > 0)
			out[at++] = '/';
		memcpy(out + at, p, n);
		at += n;
	}
	out[at] = '\0';
	return 0;
}
