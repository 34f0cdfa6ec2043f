#include "failpoint.h"

#ifdef QT_FAILPOINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "num.h"
#include "str.h"

static const char *const names[] = {
#define FP(name, verb) #name,
#include "failpoints.def"
#undef FP
};

int rt_failpoint(enum rt_failpoint p, struct qt_err *e)
{
	static unsigned passes;
	const char *want = getenv("QUILT_FAIL");
	bool die = want && qt_starts(want, "kill:"), hang = want && qt_starts(want, "hang:");
	size_t len = strlen(names[p]);
	uint32_t nth = 1;

	if (!want)
		return 0;
	want += die || hang ? 5 : 0;
	if (strncmp(want, names[p], len) != 0 || (want[len] != '\0' && want[len] != ':'))
		return 0;
	if (want[len] == ':' && !qt_u32(&nth, want + len + 1, 1, 1000000))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "QUILT_FAIL cannot be read");
	if (++passes != nth)
		return 0;
	if (die)
		(void)kill(getpid(), SIGKILL);
	if (hang)
		(void)prctl(PR_SET_NAME, "qt-hangs");
	while (hang)
		(void)pause();
	return qt_fail(e, QT_E_INTERNAL_ERROR, "fail point %s", names[p]);
}
#endif
