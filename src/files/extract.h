/* extract.h - tar and tar.gz, unpacked in the tree. */
#ifndef FT_EXTRACT_H
#define FT_EXTRACT_H

#include "proto.h"

struct ft_limits {
	uint64_t entries, bytes; /* members of one archive; what they hold, unpacked */
};

/*
 * The archive FD below PATH (plain), the first STRIP components of each name left out. It is read twice: the first time nothing is written, and
 * whatever is to be refused is refused (ARCHIVE_REFUSED, with the member's name). What is taken:
 *
 *   tar, or one layer of gzip around it; regular files (sparse ones too), directories, symbolic and hard links
 *   names that are relative, without "..", at most 4 KiB, FT_DEPTH_MAX deep; a link whose target stays below PATH by its text alone
 *   no member below a link that the archive itself makes
 *   at most LIMITS; at most FT_RATIO times as many bytes as the archive has, once they are more than FT_RATIO_FREE
 *
 * Files become root's, with the permission bits of the archive (no setuid, setgid or sticky bit), its modification time, and none of its extended
 * attributes, flags or ACLs. What was there under a file's or link's name is replaced, never written through; directories that were there stay as
 * they are, and links to directories that were there are followed, inside the tree.
 *
 * INSUFFICIENT_STORAGE and the like come with what was written until then. PROGRESS, unless NULL, is called with 0 to 99.
 */
#define FT_RATIO      200
#define FT_RATIO_FREE (64U << 20)

/* What of REQ is not zero changes that, as files.def says: then owners (0 to 65535), all modes, and links wherever they lead are taken. */
int ft_extract(int root_fd, const struct ft_extract_req *req, const char *path, int fd, const struct ft_limits *limits,
	       void (*progress)(void *arg, unsigned percent), void *arg, struct ft_extract_rep *rep, struct qt_err *e);

/* Does a symbolic link at NAME (plain, below the archive's top) stay below it if it leads to TARGET? Only leading ".." are taken, so that no other
 * link can change what the text says. */
bool ft_link_stays(const char *name, const char *target);

#endif
