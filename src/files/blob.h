/* blob.h - a document of an image, kept as it came. */
#ifndef FT_BLOB_H_
#define FT_BLOB_H_

#include "proto.h"

#define FT_BLOB_MAX (8 << 20)

/* The regular file FD, whose sha256 must be DIGEST, as the file blob of the tree. ARCHIVE_REFUSED, INSUFFICIENT_STORAGE; then there is none. */
int ft_blob(int root_fd, const char *digest, int fd, struct ft_blob_rep *rep, struct qt_err *e);

#endif
