/* pack.h - what a build copies: found by patterns, less what a .dockerignore leaves out, and packed. */
#ifndef FT_PACK_H_
#define FT_PACK_H_

#include "extract.h"

#define FT_PACK_DEPTH 100 /* directories below each other */

/*
 * As FT_PACK in files.def. Links on the way to what a pattern names are followed inside the tree; links below it are packed as links. What is on another mount, and
 * what is neither file, directory nor link, is left out.
 *
 * FILE_NOT_FOUND: a pattern names nothing. PAYLOAD_TOO_LARGE: more than REQ's bytes, or LIMITS' entries. DIGEST has FT_SHA256 + 1 bytes and is REP's text.
 */
int ft_pack(int root_fd, const struct ft_pack_req *req, int out_fd, const struct ft_limits *limits, void (*progress)(void *arg, unsigned percent), void *arg,
	    char *digest, struct ft_pack_rep *rep, struct qt_err *e);

/* --- ignore.c: patterns; pure ------------------------------------------------------------------------------------ */

/* Does NAME, one component, fit PATTERN, another with *, ?, [...] and \ before a character that is to mean itself? */
bool ft_glob(const char *pattern, const char *name);
/* Is there anything in it but plain characters? */
bool ft_glob_any(const char *pattern);

/* Do LINES, those of a .dockerignore, leave PATH out? The last that fits it, or a directory above it, decides; one that begins with ! takes it in again; a component ** is
 * any number of them. */
bool ft_ignored(const struct rt_strv *lines, const char *path);

#endif
