/* meta.h - what a layer says of its files besides what they hold: extended attributes, dates of directories. */
#ifndef FT_META_H
#define FT_META_H

#include <time.h>

#include "member.h"

#define FT_DATES_BYTES (64U << 20) /* of the names of all directories */
#define FT_XATTR_MAX   65536	    /* of one value, as the kernel has it */

/* Dates of directories, in the order of the layer: set at its end, since each name that is made in a directory changes its date. */
struct ft_dates {
	char *v;
	size_t len, cap;
};
int ft_dates_add(struct ft_dates *d, const char *name, const struct timespec *mtime, struct qt_err *e);
void ft_dates_set(const struct ft_dates *d, int top_fd); /* what is no directory any more is passed over */
void ft_dates_done(struct ft_dates *d);

/* The attributes user.* of EN to FD, but for user.overlay.*, which could steer an overlay; all others are left out. *BYTES grows by what they hold. */
int ft_xattrs(int fd, struct archive_entry *en, const char *shown, uint64_t *bytes, struct qt_err *e);

#endif
