/* fds.h - how many descriptors this process has. */
#ifndef TEST_FDS_H
#define TEST_FDS_H

#include <dirent.h>
#include <stddef.h>

static inline unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

#endif
