#include <errno.h>
#include <unistd.h>

#include "cleanup.h"
#include "ctl.h"
#include "installed.h"
#include "str.h"

#define PROGRAM QT_LIBEXECDIR "/image-build"

/* The program becomes image-build with OPTION (NULL: none), the names and the pool. Returns only if that fails. */
static int become(const struct ctl *c, const char *option, struct qt_err *e)
{
	const char *argv[64] = {PROGRAM};
	size_t n = 1;

	if (option)
		argv[n++] = option;
	for (size_t i = 0; c->operands[i]; i++) {
		if (n + 3 >= QT_LEN(argv))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "too many images at once");
		if (c->operands[i][0] == '-')
			return qt_fail(e, QT_E_VALIDATION_ERROR, "there is no image %.80s", c->operands[i]);
		argv[n++] = c->operands[i];
	}
	argv[n++] = "--pool";
	argv[n++] = c->conf.pool_dir;
	(void)execv(PROGRAM, (char *const *)argv);
	return qt_fail_sys(e, errno, "%s", PROGRAM);
}

int ctl_image_build(struct ctl *c, struct qt_err *e)
{
	return become(c, c->opt[CTL_FRESH] ? "--fresh" : NULL, e);
}

int ctl_image_verify(struct ctl *c, struct qt_err *e)
{
	return become(c, "--verify", e);
}
