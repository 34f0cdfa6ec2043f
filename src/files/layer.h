/* layer.h - a layer of an image (OCI image-spec, layer.md; Docker's is the same), unpacked below the directory fs of an empty tree. */
#ifndef FT_LAYER_H_
#define FT_LAYER_H_

#include "extract.h"

/*
 * FD, whose sha256 must be DIGEST: tar, or that in one gzip or one zstd, by its magic bytes. The digest is compared before anything is parsed. Taken is what an
 * archive may hold (extract.h), but for this:
 *
 *   owners 0 to 65535 and all modes are kept; symbolic links lead where they like, since nothing follows them but containers
 *   .wh.NAME becomes a whiteout; the path of a directory with .wh..wh..opq is written to the file "opaque" beside fs, each with a NUL: the attribute that
 *   overlayfs wants is the runtime's to set
 *   dates are kept, of directories and links as well; of extended attributes user.*, but for user.overlay.*. Others are left out: containers are mounted nosuid, so
 *   that security.capability would do nothing there
 *   devices and fifos below dev/ are left out, since containers get their own; elsewhere they are refused
 *
 * ARCHIVE_REFUSED, INSUFFICIENT_STORAGE. On failure the tree is for the trash. REP's text is DIFF_ID, which has FT_SHA256 + 1 bytes.
 */
int ft_layer(int root_fd, const char *digest, int fd, const struct ft_limits *limits, void (*progress)(void *arg, unsigned percent), void *arg,
	     char *diff_id, struct ft_layer_rep *rep, struct qt_err *e);

#endif
