/* member.h - a member of an archive, looked at: the same in both passes. */
#ifndef FT_MEMBER_H_
#define FT_MEMBER_H_

#include <search.h>
#include <sys/types.h>

#include "extract.h"

#define FT_LINKS_BYTES (16U << 20) /* of the names of all symbolic links */

struct archive_entry;

enum ft_kind { FT_M_FILE, FT_M_DIR, FT_M_LINK, FT_M_HARD };

struct ft_member {
	const char *shown; /* its name as the archive has it; for messages */
	enum ft_kind kind;
	bool skip;		    /* nothing of its name is left */
	char name[FT_PATH_MAX];	    /* plain */
	char source[FT_PATH_MAX];   /* of a hard link: plain */
	const char *link;	    /* where a link leads, as the archive has it */
	uint64_t size;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t mtime;
};

/* The names of the symbolic links so far. */
struct ft_links {
	void *tree; /* tsearch(3) */
	size_t bytes;
};
int ft_links_add(struct ft_links *l, const char *name, struct qt_err *e);
bool ft_links_above(const struct ft_links *l, const char *name); /* does one of them lead to NAME? */
void ft_links_done(struct ft_links *l);

/* The name of MEMBER made plain, the first STRIP components left out; "" if nothing is left. OUT has FT_PATH_MAX bytes. */
int ft_member_plain(char *out, const char *member, const char *name, uint32_t strip, struct qt_err *e);

#define FT_OWNER_MAX 65535 /* of what a container has */

/* Fill M from EN, as REQ wants it, or refuse it. M points into EN. */
int ft_member_check(struct ft_member *m, struct archive_entry *en, const struct ft_extract_req *req, const struct ft_limits *limits, struct ft_links *links,
		    struct qt_err *e);

/* ARCHIVE_REFUSED: the archive's member "MEMBER" WHY. */
int ft_refuse(struct qt_err *e, const char *member, const char *why);

#endif
