/* unpack.h - what archives and layers are unpacked with alike. */
#ifndef FT_UNPACK_H
#define FT_UNPACK_H

#include "member.h"

struct archive;

/* The directory that the last member went into, kept for the next one: most members follow their brothers. fd is -1 at first, and the caller's to close. */
struct ft_place {
	int fd;
	char path[FT_PATH_MAX];
};

/* PATH/NAME into OUT, which has FT_PATH_MAX bytes. False: it is too long. */
bool ft_join(char *out, const char *path, const char *name);

/* The directory that M goes into below PATH, made if need be; *NAME is M's last component. Borrowed: it is PLACE's. */
int ft_unpack_parent(struct ft_place *place, int root_fd, const char *path, const struct ft_member *m, const char **name, struct qt_err *e);

/* The data of A's member M, to OUT or, with -1, nowhere. CHECK is asked after each block; -1 with E ends it. */
int ft_unpack_data(struct archive *a, const struct ft_member *m, int out, int (*check)(void *arg, struct archive *a, struct qt_err *e), void *arg,
		   struct qt_err *e);

/* Take away what has the name of something that is no directory. */
int ft_unpack_clear(int dir, const char *name, struct qt_err *e);

/* A, which could not be read on, as ARCHIVE_REFUSED. */
int ft_unpack_broken(struct archive *a, struct qt_err *e);

#endif
