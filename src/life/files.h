/* files.h - single files and lists, in the trees of volumes. What a tree has to say comes from its tenant: bounded, and mended where it must be text. */
#ifndef QT_LIFE_FILES_H
#define QT_LIFE_FILES_H

#include "life.h"

/* Contract 8: {"path", "files": […], "page", "page_size", "total"}. PAGE counts from 1. PATH is plain (ft_path()). */
json_t *qt_life_ls(struct qt_life *l, const struct qt_id *vol, const char *path, uint32_t page, uint32_t page_size, struct qt_err *e);

int qt_life_file_write(struct qt_life *l, const struct qt_id *vol, const char *path, uint32_t mode, const void *data, size_t len, struct qt_err *e);
int qt_life_file_delete(struct qt_life *l, const struct qt_id *vol, const char *path, struct qt_err *e);

/* A file on its way out: SIZE bytes come from the pipe FD; fewer, if somebody cuts it meanwhile. */
struct qt_file {
	int fd, hold; /* hold: the conversation, which ends when it is closed */
	uint64_t size;
	uint32_t mode;
	int64_t mtime;
};
int qt_life_file_open(struct qt_life *l, const struct qt_id *vol, const char *path, uint64_t max_bytes, struct qt_file *ret, struct qt_err *e);
void qt_file_done(struct qt_file *f);
/* Some of its next bytes, at most SIZE; 0 at the end; -1: it stopped before its end, or nothing came for a while. */
ssize_t qt_file_read(struct qt_file *f, void *buf, size_t size, struct qt_err *e);

/* The mode that a client sent (contract 8, "File mode"): decimal digits that are octal digits (644), or the number itself (420, 493). At most 01777.
 * False if it is none. */
bool qt_file_mode(uint32_t *ret, uint64_t sent);
/* The other way round: 0644 as 644. */
unsigned qt_file_mode_digits(uint32_t mode);

#endif
