#include <fcntl.h>
#include <string.h>

#include "fdio.h"
#include "num.h"
#include "proc.h"
#include "str.h"

uint64_t qt_start_time(pid_t pid)
{
	struct qt_err e = {0};
	char name[32], text[1024], *p;
	uint64_t ret = 0;

	if (pid <= 0 || !qt_fmt(name, sizeof(name), "/proc/%d/stat", pid) ||
	    qt_read_file(AT_FDCWD, name, text, sizeof(text), &e) < 0)
		return 0;
	/* Field 22, counted from behind the name, which may hold spaces and parentheses. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return 0;
	p++;
	p[strcspn(p, " \n")] = '\0';
	return qt_u64(&ret, p, 0, UINT64_MAX) ? ret : 0;
}
